"""The end of a scope, in plain Python: who closes it, and how it lets go of the request. `_c/ending.h` has it in C."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tlctx._core import observers
from tlctx._core.namespace import ENDED, NO_VALUES, EndedNamespace
from tlctx._core.teardown import unfinished

if TYPE_CHECKING:
    from types import FrameType

__all__ = ["claim_end", "close_if_idle", "release"]

_clear = dict.clear
_observers = observers.active


def close_if_idle(scope: Any) -> bool:
    """Close it here and now if there is no teardown to run. Returns whether it is closed, now or before."""
    if scope._parts or scope._closer is not None:
        return scope.namespace is ENDED
    scope._release(scope._error)
    return True


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


def release(scope: Any, error: BaseException | None) -> None:
    """Empty the namespace for good, and let go of the request, which `error` ended, if anything did."""
    namespace = scope.namespace
    if namespace is ENDED:
        return
    namespace.__class__, scope.namespace = EndedNamespace, ENDED
    # Their finalizers may run code, when it is over.
    kept = (scope._resume, scope._error, scope._values, scope.source, scope._made)
    scope.source = scope._closer = None
    scope._values = NO_VALUES
    scope._error = scope._resume = None
    scope._made = {}
    _clear(namespace)
    del kept
    if scope._parts:
        scope._run_late()
    if unfinished:
        scope._close_unfinished()
    if _observers:
        observers.notify_end(scope, error)
