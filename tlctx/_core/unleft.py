"""Scopes that were entered by hand and are never left: who finds them, and when.

A scope that code of a request has left open is closed at the request's end. A generator may be in the middle of its
`with` block, and go on in another request: its scope is closed only where nobody can leave it any more. That is so when
nothing but its own namespace refers to it: a `with` statement, and whoever else may leave it, holds a reference.

Where an exception from outside strikes the very end of a block, its scope is lost in that way on the thread. The next
scope that is entered there finds it.

A scope may also end where no stack is left for its teardown, as the innermost of an endless redirect does. It stays
open, in `teardown.unfinished`, until another scope is entered or closed where there is more.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from tlctx._core.implementation import nearest_open
from tlctx._core.namespace import Namespace
from tlctx._core.reports import report_failed_teardown, report_unfinished_scope, report_unleft_scope
from tlctx._core.teardown import check_stack, unfinished

if TYPE_CHECKING:
    from collections.abc import Callable

    from tlctx._core.scope import Scope

__all__ = ["close_late", "close_left_open", "close_unfinished", "close_unleft", "nearest_leavable"]


def close_left_open(scope: Scope, left: Namespace | None) -> None:
    """Close the scopes that code of `scope` entered and never left: from `left` down to that of `scope`."""
    above: list[Namespace] = []
    while left is not None and left.scope is not None and left.scope is not scope:
        above.append(left)
        left = left.scope._displaced
    if left is None or left.scope is None:
        return
    for namespace in above:
        _close_if_unleft(namespace, scope._error)


def _close_if_unleft(namespace: Namespace, error: BaseException | None) -> None:
    open_ = namespace.scope is not None and not namespace.scope.ended
    if open_ and (not namespace.scope._by_generator or _is_lost(namespace)):  # type: ignore[union-attr]
        close_unleft(namespace.scope, error)  # type: ignore[arg-type]


def nearest_leavable(namespace: Namespace | None) -> Namespace | None:
    """As `nearest_open`, but without scopes that nobody can leave any more, which are closed."""
    while (outer := nearest_open(namespace)) is not None and _is_lost(outer):
        close_unleft(outer.scope)  # type: ignore[arg-type]
    return outer


def close_unleft(scope: Scope, error: BaseException | None = None) -> None:
    """Report that `scope` was entered and never left, and close it: with `error`, or one that says so."""
    try:
        report_unleft_scope(scope)
    finally:  # also where logging is gone already, as the interpreter ends
        scope.close(error or RuntimeError(f"{scope} was entered and never left"))


def close_unfinished(scope: Scope) -> None:
    """Close the scopes that are unfinished, if there is stack for that now; `scope` is one, or is entered or closed."""
    if scope.ended:
        unfinished.pop(scope.serial, None)
    try:
        for unclosed, close in list(unfinished.values()):
            check_stack(spare=4)
            if not unclosed.ended:  # by one of those before
                _finish(unclosed, close)
    except RecursionError:  # whoever comes next may have more
        return


def _finish(scope: Scope, close: Callable[[], object]) -> None:
    try:
        close()
    except BaseException:  # noqa: BLE001  # it was reported, or there was not stack enough
        return
    finally:
        if scope.ended:
            report_unfinished_scope(scope)


def close_late(scope: Scope) -> None:
    """Close `scope`, which could not be closed where it ended; what its teardown raises is reported."""
    try:
        scope.close()
    except BaseException as error:
        if scope.ended:
            report_failed_teardown(scope, error)
        raise


def _is_lost(namespace: Namespace) -> bool:
    """Whether nothing but `namespace` refers to its scope."""
    return sys.getrefcount(namespace.scope) <= _ALONE


def _count_alone() -> int:
    namespace: Any = Namespace()
    namespace.scope = object()
    return sys.getrefcount(namespace.scope)


_ALONE = _count_alone()
