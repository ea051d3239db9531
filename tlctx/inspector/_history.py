"""What has finished: the latest, the slowest and the failed requests, and how long each route takes."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import deque
from time import monotonic, time
from typing import TYPE_CHECKING, Any

from tlctx.inspector._model import BOUNDS, FinishedRequest, RouteTimes, Thread
from tlctx.inspector._source import Words, method_of, path_of, route_name
from tlctx.inspector._texts import shown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tlctx.lowlevel import Scope

    Ended = tuple[float, Scope, Words | None, str | None, str | None]
    """A request that is over: when it ended, its scope, what its source said, its route, and its error's type."""

__all__ = ["FAILED", "RECENT", "SLOWEST", "History", "thread_of"]

RECENT, FAILED, SLOWEST = 400, 50, 20
"""How many of each are kept."""
_RECENT_SECONDS, _SECONDS = 120.0, 300.0
_PERIOD = 30.0
_ROUTES = 200
_OTHERS = "other routes"


class History:
    """What has finished in this process. One thread at a time adds to it; any may look."""

    def __init__(self) -> None:
        self.finished = self.failures = 0
        self.dropped: deque[int] = deque(maxlen=FAILED)
        self._recent: deque[Ended] = deque(maxlen=RECENT)
        self._failed: deque[Ended] = deque(maxlen=FAILED)
        self._slowest: deque[tuple[float, _Slowest]] = deque(maxlen=int(_SECONDS / _PERIOD) + 1)
        self._routes: dict[tuple[Any, str | None], RouteTimes] = {}
        self._named: dict[str, RouteTimes] = {}

    def add(self, batch: list[Ended]) -> None:
        """Take in requests that have ended."""
        self.finished += len(batch)
        self._recent += batch[-RECENT:]
        routes, slowest = self._routes, self._slowest_until(batch[-1][0]) if batch else _Slowest()
        limit = slowest.limit
        for entry in batch:
            ended, scope, words, route, error = entry
            duration = ended - scope.started
            method = words and words[0]
            times = routes.get((method, route)) or self._times_of(method, route)
            times.count += 1
            times.seconds += duration
            times.buckets[bisect_left(BOUNDS, duration)] += 1
            if error is not None or scope.serial in self.dropped:
                self.failures += 1
                times.failed += 1
                self._failed.append(entry if error is not None else (*entry[:4], "dropped body"))
            if duration > limit:
                limit = slowest.add(duration, entry)

    def _slowest_until(self, now: float) -> _Slowest:
        if not self._slowest or now - self._slowest[-1][0] > _PERIOD:
            self._slowest.append((now, _Slowest()))
        return self._slowest[-1][1]

    def _times_of(self, method: Any, route: str | None) -> RouteTimes:
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
        entries = [entry for _, slowest in self._slowest.copy() for entry in slowest.entries.copy()]
        return sorted(_finished(process, entries, _SECONDS), key=lambda each: -each.duration)[:SLOWEST]

    def routes(self) -> list[RouteTimes]:
        """How long each route took, since the process began; those that took most come first."""
        return sorted(self._named.copy().values(), key=lambda times: -times.seconds)


class _Slowest:
    """The slowest requests of a while."""

    __slots__ = ("entries", "limit")

    def __init__(self) -> None:
        self.entries: list[Ended] = []
        self.limit = -1.0  # what takes no longer is none of them

    def add(self, duration: float, entry: Ended) -> float:
        """Take it in. Returns the limit for the next one."""
        entries = sorted([*self.entries, entry], key=_duration, reverse=True)[:SLOWEST]
        if len(entries) == SLOWEST:
            self.limit = _duration(entries[-1])
        self.entries = entries
        return self.limit


def _duration(entry: Ended) -> float:
    return entry[0] - entry[1].started


def _finished(process: str, entries: Iterable[Ended], seconds: float) -> list[FinishedRequest]:
    now, clock = monotonic(), time()
    return [_request(process, *entry, clock - now) for entry in entries if now - entry[0] <= seconds]


def _request(
    process: str, ended: float, scope: Scope, words: Words | None, route: str | None, error: str | None, offset: float
) -> FinishedRequest:
    return FinishedRequest(
        id=f"{process}:{scope.serial}",
        process=process,
        serial=scope.serial,
        method=method_of(words),
        path=path_of(words),
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
