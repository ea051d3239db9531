"""Memory: what a live scope takes, and whether a million requests or 100,000 dead threads leave anything."""

from __future__ import annotations

import gc
import threading
import tracemalloc
from typing import TYPE_CHECKING, Any

import psutil
from benchmarks.measure import Effort, Job, Row, figure
from benchmarks.middleware import a_list, serve

import tlctx

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SCOPES = (10_000, 100)
REQUESTS = (1_000_000, 500)
DEAD_THREADS = (100_000, 50)
POINTS = 10
ROUNDS = 3


class Ctx(tlctx.RequestContext):
    """No field: it holds what it is given."""


def bytes_of(make: Callable[[], Any], end: Callable[[Any], None], number: int) -> float:
    """What each of so many live objects takes, by Python's own account of its allocations."""
    gc.collect()
    kept: list[Any] = [None] * number
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for place in range(number):
        kept[place] = make()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    for one in kept:
        end(one)
    return (after - before) / number


def live_scopes(effort: Effort) -> Iterator[Row]:
    """Scopes as those of requests between two chunks of their answers: open, and bound to no thread."""
    ctx, value, number = Ctx(), object(), effort.count(*SCOPES)

    def hold() -> tlctx.Scope:
        scope = tlctx.Scope(ctx)
        displaced = scope.bind()
        ctx.x = value  # type: ignore[attr-defined]
        scope.unbind(displaced)
        return scope

    rounds = [
        (0.0, bytes_of(hold, tlctx.Scope.close, number), bytes_of(lambda: {"x": value}, dict.clear, number))
        for _ in range(ROUNDS)
    ]
    yield Row("a live scope that holds one value", "a dict that does", figure(rounds), "bytes")


def growth(work: str, step: Callable[[], None], number: int) -> Iterator[Row]:
    """The memory at ten points of so many steps: that of the last against that of the second."""
    process, points = psutil.Process(), []
    for _ in range(POINTS):
        for _ in range(number // POINTS):
            step()
        points.append(process.memory_info().rss)
    yield Row(work, "after the second tenth of them", figure([(0.0, points[-1], points[1])]), "bytes")


def after_requests(effort: Effort) -> Iterator[Row]:
    number = effort.count(*REQUESTS)
    step = serve(tlctx.ContextMiddleware(a_list, Ctx(), lambda environ: {"x": environ["PATH_INFO"]}))
    yield from growth(f"memory after {REQUESTS[0]:,} requests", step, number)


def after_threads(effort: Effort) -> Iterator[Row]:
    subject: Any = tlctx.local()

    def touch() -> None:
        subject.x = object()

    def step() -> None:
        thread = threading.Thread(target=touch)
        thread.start()
        thread.join()

    yield from growth(f"memory after {DEAD_THREADS[0]:,} dead threads", step, effort.count(*DEAD_THREADS))


JOBS = [
    Job("live scopes", live_scopes, 3),
    Job("requests", after_requests, 15),
    Job("dead threads", after_threads, 12),
]
