"""What has finished: the latest, the slowest and the failed requests, and how long each route takes."""

from __future__ import annotations

import threading
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Any

from tlctx.inspector._clock import unix_time
from tlctx.inspector._model import FinishedRequest, RouteTimes, Thread
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
        if not batch:
            return
        self.finished += len(batch)
        self._recent += batch[-RECENT:]
        slowest, dropped = self._slowest_until(batch[-1][0]), self.dropped
        limit, durations = slowest.limit, dict[tuple[Any, str | None], list[float]]()
        for entry in batch:
            ended, scope, words, route, error = entry
            duration = ended - scope.started
            key = words and words[0], route
            try:
                durations[key].append(duration)
            except KeyError:
                durations[key] = [duration]
            if error is not None or (dropped and scope.serial in dropped):
                self._add_failed(key, entry)
            if duration > limit:
                limit = slowest.add(duration, entry)
        for key, some in durations.items():
            (self._routes.get(key) or self._times_of(*key)).add(some)

    def _add_failed(self, key: tuple[Any, str | None], entry: Ended) -> None:
        self.failures += 1
        (self._routes.get(key) or self._times_of(*key)).failed += 1
        self._failed.append(entry if entry[4] is not None else (*entry[:4], "dropped body"))

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
    now = monotonic()
    return [_request(process, *entry) for entry in entries if now - entry[0] <= seconds]


def _request(
    process: str, ended: float, scope: Scope, words: Words | None, route: str | None, error: str | None
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
        began=unix_time(scope.started),
        duration=ended - scope.started,
        error=None if error is None else shown(error, 100),
    )


def thread_of(ident: int) -> Thread:
    """The thread of this id, by its name if `threading` knows it."""
    known: Any = threading
    thread = known._active.get(ident)  # `enumerate` would wait for a lock
    return Thread(ident, f"thread {ident}" if thread is None else shown(str(thread.name), 100))
