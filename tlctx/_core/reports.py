"""What went wrong with a request's end: logged once, so that an operator finds the culprit, and counted.

The collector may run a finalizer at any point, also in the middle of these lines, so nothing here takes a lock: a count
is an iterator that is stepped once for each event, which is atomic, and asked how much of it is left.

A log record gets the text of a scope, not the scope: whoever keeps the record would keep the scope.
"""

from __future__ import annotations

import logging
import sys
from itertools import repeat
from operator import length_hint
from typing import TYPE_CHECKING, NamedTuple

from tlctx._core import observers

if TYPE_CHECKING:
    from tlctx._core.scope import Scope

__all__ = [
    "Count",
    "Counters",
    "close_after",
    "close_reporting",
    "counters",
    "report_dropped_body",
    "report_failed_teardown",
    "report_unfinished_scope",
    "report_unleft_scope",
]

logger = logging.getLogger("tlctx")


class Counters(NamedTuple):
    """How often, since this process started, a request did not end as it should. The logger "tlctx" named each."""

    dropped_bodies: int
    """Response bodies that the server dropped half-way, without their `close()` (PEP 3333 asks it to call that)."""

    failed_teardowns: int
    """Requests whose teardown raised; the rest of it ran all the same."""

    unleft_scopes: int
    """Scopes that were entered by hand and never left, closed when the scope around them ended or when found; and those
    that ended where no stack was left, closed later."""


class Count:
    """A number that threads, and finalizers in the middle of them, count up with `add`."""

    __slots__ = ("_steps", "add")

    def __init__(self) -> None:
        self._steps = repeat(None, sys.maxsize)
        self.add = self._steps.__next__

    @property
    def total(self) -> int:
        return sys.maxsize - length_hint(self._steps)


_dropped_bodies = Count()
_failed_teardowns = Count()
_unleft_scopes = Count()


def counters() -> Counters:
    """The counts of this process, for a metric or an alarm. They only ever grow."""
    return Counters(_dropped_bodies.total, _failed_teardowns.total, _unleft_scopes.total)


def report_dropped_body(scope: Scope) -> None:
    """Report that the collector found the body of the request of `scope`, unclosed and not read to its end."""
    _dropped_bodies.add()
    logger.warning("%s: the server dropped its body without close(), %.3f s after it began", str(scope), scope.age)
    if observers.active:
        observers.notify_drop(scope)


def report_failed_teardown(scope: Scope, error: BaseException) -> None:
    """Report what the teardown of `scope` raised."""
    _failed_teardowns.add()
    logger.error("%s: its teardown failed, %.3f s after it began", str(scope), scope.age, exc_info=error)


def report_unfinished_scope(scope: Scope) -> None:
    """Report that `scope` ended where no stack was left for its teardown, and is closed now."""
    _unleft_scopes.add()
    logger.warning("%s: no stack was left to close it; it is closed now, %.3f s after it began", str(scope), scope.age)


def report_unleft_scope(scope: Scope) -> None:
    """Report that `scope` was entered and never left, and is closed now."""
    _unleft_scopes.add()
    logger.warning("%s: it was entered and never left; it is closed now, %.3f s after it began", str(scope), scope.age)


def close_reporting(scope: Scope, error: BaseException | None = None) -> None:
    """End the scope; what its teardown raises is reported, and raised."""
    try:
        scope.close(error)
    except BaseException as raised:
        if scope.ended:  # or it has not run yet, because no stack was left
            report_failed_teardown(scope, raised)
        raise


def close_after(error: BaseException, scope: Scope) -> None:
    """End a scope whose code raised `error`, which goes on whatever the teardown does."""
    try:
        close_reporting(scope, error)
    except Exception:  # noqa: BLE001  # it was reported
        return
