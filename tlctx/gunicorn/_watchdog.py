"""The watchdog: one thread that looks for requests which take too long.

Theory of operation
===================

An observer notes each scope that begins, and forgets it as it ends. The thread sleeps until the oldest one may be
overdue. What begins while it sleeps can't be overdue before that, so nobody has to wake it. A request pays for two
operations on a dict, and waits for no lock.

What is noted is a weak reference: scopes that nobody can leave any more are found by the collector, and so must not be
kept. All that is logged is logged by the thread of the watchdog, never by that of a request.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple
from weakref import ref

from tlctx.gunicorn._reports import MOST_STACKS, describe
from tlctx.gunicorn._threads import make_lock, start_thread
from tlctx.lowlevel import Count, Observer, add_observer, open_scopes, remove_observer

if TYPE_CHECKING:
    from collections.abc import Callable

    from tlctx import Scope

__all__ = ["Overdue", "Watchdog", "overdue", "watch"]

_SHORTEST_NAP = 0.01
_LONGEST_NAP = 3600.0
_PATIENCE = 5.0
"""Seconds that `stop` waits for the thread, which may be writing to a log that blocks."""


class Overdue(NamedTuple):
    """How many requests of this process took longer than the watchdog allows."""

    now: int
    """Those that are still open."""

    total: int
    """Those since the process started, the open ones included."""


_total = Count()


class Watchdog(Observer):
    """Logs each request that is older than `after` seconds, once; and again when it has ended. Made by `watch`."""

    def __init__(
        self, after: float, ignore: Callable[[Scope], bool] | None = None, logger: logging.Logger | None = None
    ) -> None:
        if not after > 0:
            raise ValueError(f"a watchdog needs a number of seconds above 0, not {after!r}")
        self.after = after
        self.ignore = ignore
        self.logger = logging.getLogger("tlctx") if logger is None else logger
        self._stopped = False
        self._set_up()

    def _set_up(self) -> None:
        self._open: dict[int, ref[Scope]] = {}
        self._overdue: dict[int, str] = {}
        self._ended: deque[tuple[str, float, str]] = deque()
        self._runs = False
        self._to_start: list[Callable[[], None]] = []
        self._wake, self._done = make_lock(), make_lock()
        self._wake.acquire()
        self._done.acquire()

    # What the threads of requests call

    def begin(self, scope: Scope) -> None:
        """Note `scope`."""
        self._open[scope.serial] = ref(scope)
        if self._to_start:
            with contextlib.suppress(IndexError):  # another thread has just started it
                self._to_start.pop()()

    def end(self, scope: Scope, error: BaseException | None) -> None:
        """Forget `scope`; have the thread log it, if it was overdue."""
        self._open.pop(scope.serial, None)
        if self._overdue and (name := self._overdue.pop(scope.serial, None)) is not None:
            self._ended.append((name, scope.age, "" if error is None else f", with {type(error).__name__}"))
            self._wake_up()

    # Its own thread

    def start(self) -> None:
        """Watch from now on, also what is open already."""
        add_observer(self)
        for scope in open_scopes():
            self._open.setdefault(scope.serial, ref(scope))
        self._start_thread()

    def _start_thread(self) -> None:
        self._runs = True
        start_thread(self._run, "tlctx watchdog")

    def begin_in_child(self) -> None:
        """Begin anew in a process that was forked: it has none of its parent's requests, nor its threads."""
        self._set_up()
        self._to_start.append(self._start_thread)  # with the first request, as many such processes serve none

    def stop(self) -> None:
        """Watch no longer. Returns when the thread has ended, and all that it knows is logged."""
        with contextlib.suppress(ValueError):  # it was stopped before
            remove_observer(self)
        self._stopped = True
        if self._runs:
            self._wake_up()
            self._runs = not self._done.acquire(True, _PATIENCE)
        self._log_ends()
        self._open.clear()
        self._overdue.clear()

    def _wake_up(self) -> None:
        with contextlib.suppress(RuntimeError):  # somebody else has
            self._wake.release()

    def _run(self) -> None:
        try:
            while not self._stopped:
                nap = self.after
                try:
                    nap = self._look()
                except Exception:
                    self.logger.exception("the watchdog failed; it goes on")
                self._wake.acquire(True, min(max(nap, _SHORTEST_NAP), _LONGEST_NAP))
        finally:
            self._done.release()

    def _look(self) -> float:
        """Log what is overdue now. Returns the seconds until something else may be."""
        self._log_ends()
        now, nap = monotonic(), self.after
        due: list[Scope] = []
        for serial in list(self._open):  # not its items: to make those may run the collector, and that ends requests
            reference = self._open.get(serial)
            scope = None if reference is None else reference()
            if scope is None or scope.ended:
                self._open.pop(serial, None)
            elif (left := scope.started + self.after - now) > 0:
                nap = min(nap, left)
            else:
                due.append(scope)
        for number, scope in enumerate(due):
            self._log_overdue(scope, with_stack=number < MOST_STACKS)
        return nap

    def _log_overdue(self, scope: Scope, *, with_stack: bool) -> None:
        if self._is_ignored(scope):
            self._open.pop(scope.serial, None)
            return
        self._overdue[scope.serial] = name = str(scope)
        self._open.pop(scope.serial, None)
        if scope.ended:  # perhaps before it was noted, so that nobody else would forget it
            self._overdue.pop(scope.serial, None)
            return
        _total.add()
        self.logger.warning("%s: overdue after %.1f s, %s", name, scope.age, describe(scope, with_stack=with_stack))

    def _is_ignored(self, scope: Scope) -> bool:
        try:
            return self.ignore is not None and bool(self.ignore(scope))
        except Exception:
            self.logger.exception("the watchdog's `ignore` failed for %s", str(scope))
            return False

    def _log_ends(self) -> None:
        while self._ended:
            self.logger.warning("%s: ended at last, after %.1f s%s", *self._ended.popleft())


_watching: list[Watchdog] = []
"""The watchdog of this process, if there is one."""


def watch(
    after: float = 30.0, *, ignore: Callable[[Scope], bool] | None = None, logger: logging.Logger | None = None
) -> Watchdog:
    """Start the watchdog of this process, in place of the one that runs, if one does.

    It logs each request that is older than `after` seconds: who it is, its thread, how many chunks of its body were
    sent, and the stack of its thread, greenlet or task. When that request ends at last, it logs its duration. Requests
    for which `ignore(scope)` is true are left out, as those may be that last long by their nature. `logger` defaults to
    the logger "tlctx". A process that is forked has a watchdog of its own, from its first request on.

    `stop()` on what it returns ends it. Raises ValueError if `after` is not above 0.
    """
    watchdog = Watchdog(after, ignore, logger)
    _follow_forks()
    stop_watching()
    _watching.append(watchdog)
    watchdog.start()
    return watchdog


def stop_watching() -> None:
    """Stop the watchdog of this process, if there is one."""
    while _watching:
        _watching.pop().stop()


@functools.cache
def _follow_forks() -> None:
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_begin_in_child)


def _begin_in_child() -> None:
    for watchdog in _watching:
        watchdog.begin_in_child()


def overdue() -> Overdue:
    """How many requests are overdue: now, and in total. For a metric or an alarm."""
    return Overdue(sum(len(watchdog._overdue) for watchdog in _watching), _total.total)
