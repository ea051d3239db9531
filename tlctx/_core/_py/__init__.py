"""The pure-Python implementation: `local`, and the hot path of a scope. `_c/` has the same in C."""
