"""Which twin of `local` runs. There is one so far, in plain Python, and it runs everywhere."""

from typing import Final

from tlctx._core._local_py import local, peek_dict, swap_dict

__all__ = ["IMPLEMENTATION", "local", "peek_dict", "swap_dict"]

IMPLEMENTATION: Final = "python"
"""The twin in use, by the name of the language it is written in."""
