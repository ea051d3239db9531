"""Which implementation runs: the C accelerator where it was built, the pure-Python one elsewhere, or on request."""

import os
from typing import TYPE_CHECKING, Final

__all__ = [
    "IMPLEMENTATION",
    "CopyBase",
    "DetachedCall",
    "ScopeBase",
    "ScopedIterator",
    "attach",
    "attached_namespace",
    "bound",
    "detach",
    "local",
    "namespace_of",
    "nearest_open",
    "peek_dict",
    "swap_dict",
]


def _is_accelerated() -> bool:
    if os.environ.get("TLCTX_PURE_PYTHON", "") not in ("", "0"):
        return False
    try:
        import tlctx._core._accelerator  # noqa: F401
    except ImportError:
        return False
    return True


_accelerated = _is_accelerated()

if TYPE_CHECKING or not _accelerated:
    from tlctx._core._py.attached import attach, detach, namespace_of
    from tlctx._core._py.body import ScopedIterator
    from tlctx._core._py.bound import bound
    from tlctx._core._py.copy import CopyBase
    from tlctx._core._py.detached import DetachedCall
    from tlctx._core._py.local import local, peek_dict, swap_dict
    from tlctx._core._py.scope import ScopeBase
    from tlctx._core.attached import attached_namespace
    from tlctx._core.namespace import nearest_open
else:
    from tlctx._core._accelerator import (
        CopyBase,
        DetachedCall,
        ScopeBase,
        ScopedIterator,
        attach,
        attached_namespace,
        bound,
        detach,
        local,
        namespace_of,
        nearest_open,
        peek_dict,
        swap_dict,
    )

IMPLEMENTATION: Final = "c" if _accelerated else "python"
"""The implementation in use, by its language. `TLCTX_PURE_PYTHON=1` in the environment selects "python"."""
