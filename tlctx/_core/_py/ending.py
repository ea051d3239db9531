"""Which call closes a scope, in plain Python: `_c/ending.h` has it in C."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tlctx._core.namespace import ENDED

if TYPE_CHECKING:
    from types import FrameType

__all__ = ["claim_end"]


def claim_end(scope: Any, frame: FrameType) -> bool:
    """Whether the call that `frame` runs has to close it: the first one, or the next after one that was struck."""
    if scope.namespace is ENDED:
        return False
    if scope._closer is None:
        scope._closer = frame  # no other thread runs between these two lines: no function begins or ends there
        return True
    try:
        scope._closer.clear()
    except RuntimeError:  # it still runs
        return False
    scope._closer = frame
    return True
