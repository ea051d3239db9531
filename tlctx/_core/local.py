"""Which twin runs: the compiled one where it was built, the one in plain Python elsewhere, or where it is asked for."""

import os
from typing import TYPE_CHECKING, Final

__all__ = ["IMPLEMENTATION", "Binding", "Gate", "Steps", "alive", "local", "peek_dict", "swap_dict"]


def _compiled_twin_is_here() -> bool:
    if os.environ.get("TLCTX_PURE_PYTHON", "") not in ("", "0"):
        return False
    try:
        import tlctx._core._local_c  # noqa: F401, PLC0415
    except ImportError:
        return False
    return True


_compiled = _compiled_twin_is_here()

if TYPE_CHECKING or not _compiled:
    from tlctx._core._binding_py import Binding, Gate, Steps, alive
    from tlctx._core._local_py import local, peek_dict, swap_dict
else:
    from tlctx._core._local_c import Binding, Gate, Steps, alive, local, peek_dict, swap_dict

IMPLEMENTATION: Final = "c" if _compiled else "python"
"""The twin in use, by the name of the language it is written in. `TLCTX_PURE_PYTHON=1` selects "python"."""
