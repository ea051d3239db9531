"""Which requests run and which have ended: noted without a lock, and taken from there by a thread of its own.

Theory of operation
===================

A scope may end anywhere, also in a finalizer that the garbage collector runs in the middle of any code. That code may
hold a lock of prometheus_client, or of OpenTelemetry, so an observer must not ask for one. It appends to a deque, which
is atomic. A thread, or whoever asks for the metrics, takes what is there and hands it on.

The thread starts with the first request of a process, so that each worker that a server forks has one. It wakes once a
second. At the interpreter's exit what is left is handed on too.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import threading
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from tlctx._routes import route_of
from tlctx.lowlevel import Observer, add_observer, remove_observer

if TYPE_CHECKING:
    from tlctx import Scope

__all__ = ["BUCKETS", "DESCRIBED", "Ended", "Metrics"]

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""The bounds of the histogram of durations, in seconds."""
DESCRIBED = {
    "tlctx.requests": "Requests that have ended.",
    "tlctx.request.duration": "How long requests took, from the start of the scope to its end.",
    "tlctx.requests.in_flight": "Requests that have begun and not ended.",
    "tlctx.requests.overdue": "Requests in flight that are older than they should be.",
    "tlctx.failed_teardowns": "Scopes whose teardown raised.",
    "tlctx.dropped_bodies": "Response bodies that the server dropped without closing them.",
    "tlctx.unleft_scopes": "Scopes that were entered by hand and never left.",
}
"""Each metric's name, and what it says of it."""

_METHODS = frozenset(["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"])
_OTHER = "_OTHER"
"""In the place of a method that is none of HTTP's: the client chooses it. The word is OpenTelemetry's."""
_SCOPES = "tlctx.scopes"
_SECONDS = 1.0
"""From one round of the thread to the next."""
_MOST = 100_000
"""Requests that have ended and wait for the thread. Where a server lets no thread run, the oldest are lost."""

logger = logging.getLogger("tlctx")


class Ended(NamedTuple):
    """A request that is over."""

    method: str
    route: str
    """The framework's pattern, empty where none is known."""
    outcome: str
    """ "ok"; "error" of an exception; "aborted" where the request was: SystemExit, a task that was cancelled."""
    seconds: float


class Metrics(Observer):
    """What `prometheus` and `opentelemetry` return: it takes note of requests until it is closed."""

    _thread: threading.Thread | None

    def __init__(self, overdue_after: float) -> None:
        self._overdue_after = overdue_after
        self._open: dict[int, tuple[weakref.ref[Scope], str, dict[str, Any]]] = {}
        self._ended: deque[Ended] = deque(maxlen=_MOST)
        self._stopped = False
        self._start_anew()

    def _watch(self) -> None:
        """Take note of requests from now on."""
        add_observer(self)
        _watching.add(self)
        atexit.register(self._at_exit)

    def close(self) -> None:
        """Take note of nothing any more. What is known by now is handed on first."""
        remove_observer(self)
        _watching.discard(self)
        atexit.unregister(self._at_exit)
        self._stopped = True
        self._wake.set()
        self.flush()

    def begin(self, scope: Scope) -> None:
        """Note that a request begins."""
        source = scope.source
        if type(source) is dict and (method := _method_of(source, scope)):
            self._open[scope.serial] = weakref.ref(scope), method, source
            if self._thread is None and self._starting.acquire(blocking=False):
                self._start()

    def end(self, scope: Scope, error: BaseException | None) -> None:
        """Note how a request has ended."""
        found = self._open.pop(scope.serial, None)
        if found is not None:
            outcome = "ok" if error is None else "error" if isinstance(error, Exception) else "aborted"
            self._ended.append(Ended(found[1], route_of(found[2]) or "", outcome, scope.age))

    def flush(self) -> None:
        """Hand on what has happened, now. A thread does it each second."""
        if self._handing_on.acquire(timeout=_SECONDS):  # not longer: what asks may be a scrape, or the exit
            try:
                while self._ended:
                    self._hand_on(self._ended.popleft())
                self._sample()
            finally:
                self._handing_on.release()

    def _hand_on(self, ended: Ended) -> None:
        """Subclasses implement: count a request."""
        raise NotImplementedError

    def _sample(self) -> None:
        """Subclasses may: set what is not counted as it happens."""

    def _ages(self) -> list[float]:
        """Of all requests in flight. A scope that nobody closed before it was freed is in flight no more."""
        ages = []
        for serial in list(self._open):  # not its items: to make those may run the collector, and that ends requests
            found = self._open.get(serial)
            scope = None if found is None else found[0]()
            if scope is None or scope.ended:
                self._open.pop(serial, None)
            else:
                ages.append(scope.age)
        return ages

    def _in_flight(self) -> int:
        return len(self._ages())

    def _overdue(self) -> int:
        return sum(age > self._overdue_after for age in self._ages())

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="tlctx-metrics", daemon=True)
        with contextlib.suppress(RuntimeError):  # no more threads can be had; whoever asks for the metrics has them
            self._thread.start()

    def _run(self) -> None:
        while not self._stopped:
            self._wake.wait(_SECONDS)
            try:
                self.flush()
            except Exception:
                logger.exception("the metrics of requests can't be handed on")

    def _at_exit(self) -> None:
        if self._thread is not None:  # or this process, a fork of one that serves requests, has had none
            self.flush()

    def _start_anew(self) -> None:
        """Begin, or begin again in a process that was forked: it has no request yet, and no thread."""
        self._open.clear()
        self._ended.clear()
        self._handing_on, self._starting, self._wake = threading.Lock(), threading.Lock(), threading.Event()
        self._thread = None


def _method_of(source: dict[str, Any], scope: Scope) -> str | None:
    """The method of the request that `scope` is the first one of; None if it is none's, or another was before."""
    scopes = source.get(_SCOPES)
    kind = source.get("type")
    if "REQUEST_METHOD" in source:
        if not scopes or scopes[0] is not scope:
            return None
        method = source["REQUEST_METHOD"]
    elif kind == "http" and not scopes:
        method = source.get("method")
    else:
        return "WEBSOCKET" if kind == "websocket" and not scopes else None
    return method if method in _METHODS else _OTHER


_watching: weakref.WeakSet[Metrics] = weakref.WeakSet()
_held: list[Metrics] = []


def _before_fork() -> None:
    """Have no thread be in the middle of handing on: the new process would never get the locks that it holds."""
    for metrics in list(_watching):
        metrics._handing_on.acquire()
        _held.append(metrics)


def _after_fork_in_parent() -> None:
    while _held:
        _held.pop()._handing_on.release()


def _after_fork_in_child() -> None:
    _held.clear()
    for metrics in list(_watching):
        metrics._start_anew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
