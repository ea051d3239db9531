"""What has finished: the latest, the slowest and the failed requests, and how long each route takes."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import deque
from time import monotonic, time
from typing import TYPE_CHECKING, Any

from tlctx.inspector._model import BOUNDS, FinishedRequest, RouteTimes, Thread
from tlctx.inspector._source import readable, route_name
from tlctx.inspector._texts import shown

if TYPE_CHECKING:
    from tlctx.lowlevel import Scope

__all__ = ["History", "thread_of"]

_RECENT, _RECENT_SECONDS = 400, 120.0
_SLOWEST, _FAILED, _SECONDS = 20, 50, 300.0
_PERIOD = 30.0
_ROUTES = 200
_OTHERS = "other routes"


class History:
    """What has finished in this process. One thread at a time adds to it; any may look."""

    def __init__(self) -> None:
        self.finished = self.failures = 0
        self._recent: deque[tuple[Any, ...]] = deque(maxlen=_RECENT)
        self._failed: deque[tuple[Any, ...]] = deque(maxlen=_FAILED)
        self._slowest: deque[tuple[float, list[tuple[Any, ...]]]] = deque(maxlen=int(_SECONDS / _PERIOD) + 1)
        self._routes: dict[tuple[str | None, str | None], RouteTimes] = {}
        self._named: dict[str, RouteTimes] = {}

    def add(
        self, scope: Scope, ended: float, method: str | None, path: str | None, route: str | None, error: str | None
    ) -> None:
        """Take in a request that has ended."""
        duration = ended - scope.started
        entry = scope, ended, method, path, route, error
        self.finished += 1
        self._recent.append(entry)
        times = self._routes.get((method, route)) or self._times_of(method, route)
        times.count += 1
        times.seconds += duration
        times.buckets[bisect_left(BOUNDS, duration)] += 1
        if error is not None:
            self.failures += 1
            times.failed += 1
            self._failed.append(entry)
        self._add_if_slow(ended, duration, entry)

    def _add_if_slow(self, ended: float, duration: float, entry: tuple[Any, ...]) -> None:
        if not self._slowest or ended - self._slowest[-1][0] > _PERIOD:
            self._slowest.append((ended, []))
        slowest = self._slowest[-1][1]
        if len(slowest) < _SLOWEST:
            slowest.append(entry)
        elif duration > (first := slowest[0])[1] - first[0].started:
            slowest[0] = entry
        else:
            return
        slowest.sort(key=_duration)

    def _times_of(self, method: str | None, route: str | None) -> RouteTimes:
        name = route_name(method, route)
        if name not in self._named and len(self._named) >= _ROUTES:
            name = _OTHERS
        times = self._named.setdefault(name, RouteTimes(name))
        if len(self._routes) < 2 * _ROUTES:
            self._routes[method, route] = times
        return times

    def recent(self, process: str) -> list[FinishedRequest]:
        """The latest, the oldest first."""
        return _finished(process, self._recent.copy(), _RECENT_SECONDS)

    def failed(self, process: str) -> list[FinishedRequest]:
        """Those that failed, the oldest first."""
        return _finished(process, self._failed.copy(), _SECONDS)

    def slowest(self, process: str) -> list[FinishedRequest]:
        """The slowest first."""
        entries = [entry for _, entries in self._slowest.copy() for entry in tuple(entries)]
        return sorted(_finished(process, entries, _SECONDS), key=lambda each: -each.duration)[:_SLOWEST]

    def routes(self) -> list[RouteTimes]:
        """How long each route took, since the process began."""
        return sorted(self._named.copy().values(), key=lambda times: -times.seconds)


def _duration(entry: tuple[Any, ...]) -> float:
    duration: float = entry[1] - entry[0].started
    return duration


def _finished(process: str, entries: Any, seconds: float) -> list[FinishedRequest]:
    now, clock = monotonic(), time()
    return [_request(process, *entry, clock - now) for entry in entries if now - entry[1] <= seconds]


def _request(
    process: str, scope: Scope, ended: float, method: Any, path: Any, route: Any, error: Any, offset: float
) -> FinishedRequest:
    return FinishedRequest(
        id=f"{process}:{scope.serial}",
        process=process,
        serial=scope.serial,
        method=None if method is None else shown(method, 40),
        path=None if path is None else readable(path),
        label=scope.label or str(scope),
        route=None if route is None else shown(route, 200),
        thread=thread_of(scope.thread),
        began=scope.started + offset,
        duration=ended - scope.started,
        error=None if error is None else shown(error, 100),
    )


def thread_of(ident: int) -> Thread:
    """The thread of this id, by its name if `threading` knows it."""
    known: Any = threading
    thread = known._active.get(ident)  # `enumerate` would wait for a lock
    return Thread(ident, f"thread {ident}" if thread is None else shown(str(thread.name), 100))
