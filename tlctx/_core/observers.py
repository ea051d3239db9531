"""Observers: whoever wants to know when a scope begins and ends, or when the collector finds one.

While there are none, a scope pays one look at an empty list. Both implementations look at that very list, `active`, so
it is changed in place and never replaced.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tlctx._core.scope import Scope

__all__ = ["Observer", "active", "add_observer", "notify_begin", "notify_drop", "notify_end", "remove_observer"]

logger = logging.getLogger("tlctx")


class Observer:
    """Is told of every scope of this process. Subclass it, and override what you want to know.

    Its methods run on the thread on which it happens, between the lines of the request, so they should be quick and
    take no lock that a request may hold. What one raises is logged, and the request goes on.
    """

    def begin(self, scope: Scope) -> None:
        """`scope` is about to be current for the first time; it has no values yet but its fields' defaults."""

    def end(self, scope: Scope, error: BaseException | None) -> None:
        """`scope` is over: its teardown has run, its values and its source are gone. `error` ended it, if any did."""

    def drop(self, scope: Scope) -> None:
        """The collector found the response body of `scope`, half-read and never closed. `end` follows."""


active: list[Observer] = []
"""The observers, in the order in which they are called."""


def add_observer(observer: Observer) -> None:
    """Tell `observer` of every scope from now on. Raises TypeError if it is no Observer."""
    _check(observer)
    active.append(observer)


def _check(observer: object) -> None:
    if not isinstance(observer, Observer):
        hint = ": give an instance, not the class" if isinstance(observer, type) else ""
        raise TypeError(f"an observer must be a tlctx.lowlevel.Observer, not {type(observer).__name__}{hint}")


def remove_observer(observer: Observer) -> None:
    """Tell `observer` nothing any more. Raises ValueError if it was not added, or was removed before."""
    for place, other in enumerate(active):
        if other is observer:
            del active[place]
            return
    raise ValueError(f"{observer!r} is not an observer: it was never added, or was removed before")


def notify_begin(scope: Any) -> None:
    """Tell all observers that `scope` begins."""
    for observer in tuple(active):
        try:
            observer.begin(scope)
        except Exception as error:  # noqa: BLE001  # an observer's fault is not the request's
            _log("begin", observer, scope, error)


def notify_end(scope: Any, error: BaseException | None) -> None:
    """Tell all observers that `scope` is over."""
    for observer in tuple(active):
        try:
            observer.end(scope, error)
        except Exception as fault:  # noqa: BLE001  # as above
            _log("end", observer, scope, fault)


def notify_drop(scope: Any) -> None:
    """Tell all observers that the collector found the body of `scope`."""
    for observer in tuple(active):
        try:
            observer.drop(scope)
        except Exception as error:  # noqa: BLE001  # as above
            _log("drop", observer, scope, error)


def _log(event: str, observer: Observer, scope: Any, error: Exception) -> None:
    logger.error("%s: observer %r failed in %s()", scope, observer, event, exc_info=error)
