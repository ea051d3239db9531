"""One view of several processes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tlctx.inspector._history import FAILED, SLOWEST
from tlctx.inspector._local import MOST_OPEN
from tlctx.inspector._model import Process, RouteTimes, View

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["aged", "merged", "unreached"]

_RECENT = 1000
_ROUTES = 300
_TROUBLE = 30


def merged(views: Iterable[View], taken: float) -> View:
    """All of them as one, as long as one of them at most."""
    whole, routes = View(taken), dict[str, RouteTimes]()
    for view in views:
        whole.processes += view.processes
        whole.open += view.open
        whole.recent += view.recent
        whole.slowest += view.slowest
        whole.failed += view.failed
        whole.truncated += view.truncated
        whole.trouble += view.trouble
        for times in view.routes:
            _add(routes.setdefault(times.name, RouteTimes(times.name)), times)
    whole.processes.sort(key=lambda process: (process.host, process.pid))
    whole.open.sort(key=lambda request: (-request.age, request.process, request.serial))
    whole.truncated += max(0, len(whole.open) - MOST_OPEN)
    del whole.open[MOST_OPEN:]
    whole.recent = sorted(whole.recent, key=lambda request: request.began + request.duration)[-_RECENT:]
    whole.slowest = sorted(whole.slowest, key=lambda request: -request.duration)[:SLOWEST]
    whole.failed = sorted(whole.failed, key=lambda request: request.began + request.duration)[-FAILED:]
    whole.routes = sorted(routes.values(), key=lambda times: -times.seconds)[:_ROUTES]
    whole.trouble = list(dict.fromkeys(whole.trouble))[:_TROUBLE]
    return whole


def _add(total: RouteTimes, times: RouteTimes) -> None:
    total.count += times.count
    total.failed += times.failed
    total.seconds += times.seconds
    total.buckets = [ours + theirs for ours, theirs in zip(total.buckets, times.buckets, strict=True)]


def aged(view: View, seconds: float) -> View:
    """A view that was taken so many seconds ago: what was open then is older by now."""
    view.processes = [replace(process, seen=seconds) for process in view.processes]
    view.open = [replace(request, age=request.age + seconds) for request in view.open]
    return view


def unreached(host: str, pid: int, taken: float, trouble: str) -> View:
    """The view of a process that is there, and does not answer."""
    process = Process(f"{host}:{pid}", host, pid, 0.0, False, 0, 0, 0, 0, 0)
    return View(taken, processes=[process], trouble=[trouble])
