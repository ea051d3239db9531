"""Flask: on every way that Python takes out of an async view, there is the request's own scope, while it lives."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask
from support.async_ways import SHARED, WAYS, by_to_thread, in_a_task, share
from support.contexts import seen
from support.flask_app import WorkCtx
from support.helpers import PATIENCE, run_program

from tlctx import RequestEndedError, Scope, counters
from tlctx.lowlevel import propagate

Way = Callable[[Callable[[], Any]], Awaitable[Any]]
each_way = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)


@each_way
def test_what_an_async_view_calls_shares_its_scope(way: Way, app: Flask, ctx: WorkCtx, log: list[Any]) -> None:
    @app.get("/")
    async def index() -> Any:
        return await share(ctx, way)

    assert app.test_client().get("/", headers={"X-User": "ann"}).json == SHARED
    assert log == ["done for ann"]


@each_way
def test_what_a_sync_view_runs_on_an_event_loop_shares_its_scope_inside_propagate(
    way: Way, app: Flask, ctx: WorkCtx, log: list[Any]
) -> None:
    @app.get("/")
    def index() -> Any:
        scope = Scope.current(ctx)
        assert scope is not None
        with propagate(scope):
            return asyncio.run(share(ctx, way))

    assert app.test_client().get("/", headers={"X-User": "ann"}).json == SHARED
    assert log == ["done for ann"]


@pytest.fixture
def loop_of_others() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop on a thread of its own, which outlives every request."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join(PATIENCE)
    loop.close()


@pytest.mark.parametrize("way", [in_a_task, by_to_thread], ids=lambda way: way.__name__)
def test_a_task_that_outlives_the_request_is_told_which_one_has_ended(
    way: Way, app: Flask, ctx: WorkCtx, loop_of_others: asyncio.AbstractEventLoop
) -> None:
    tasks: list[Future[Any]] = []
    go = threading.Event()

    async def late() -> Any:
        assert ctx.user == "ann"
        await asyncio.to_thread(go.wait, PATIENCE)
        return await way(lambda: ctx.user)

    @app.get("/slow")
    async def index() -> str:
        tasks.append(asyncio.run_coroutine_threadsafe(late(), loop_of_others))
        return str(Scope.current(ctx))

    named = app.test_client().get("/slow", headers={"X-User": "ann"}).text
    go.set()
    with pytest.raises(RequestEndedError, match=r"'user' on thread .* after .* has ended.*tlctx\.threads\.wrap") as got:
        tasks[0].result(PATIENCE)
    assert f"after {named} has ended" in str(got.value)
    assert named.endswith("(GET /slow)")


def test_a_thread_that_outlives_the_request_is_told_so_and_makes_nothing_anew(
    app: Flask, ctx: WorkCtx, log: list[Any]
) -> None:
    go = threading.Event()
    jobs: list[Future[Any]] = []

    def late(use: Callable[[], Any]) -> Any:
        assert go.wait(PATIENCE)
        return use()

    uses: list[Callable[[], Any]] = [
        lambda: ctx.work, lambda: setattr(ctx, "word", "late"), lambda: ctx.callback(print), lambda: list(ctx)
    ]  # fmt: skip
    with ThreadPoolExecutor(len(uses)) as pool:

        @app.get("/")
        async def index() -> str:
            jobs.extend(pool.submit(contextvars.copy_context().run, late, use) for use in uses)
            return "answered"

        assert app.test_client().get("/").text == "answered"
        go.set()
        for job in jobs:
            with pytest.raises(RequestEndedError, match=r"after request #\d+ \(GET /\) has ended"):
                job.result(PATIENCE)
    assert log == []


def test_a_scope_that_an_async_view_never_left_stays_neither_on_the_thread_nor_open(app: Flask, ctx: WorkCtx) -> None:
    ends: list[str] = []

    @app.get("/")
    async def index() -> str:
        ctx.scope(user="left open").__enter__()
        ctx.callback(ends.append, "closed")
        return ctx.user

    before = counters().unleft_scopes
    assert app.test_client().get("/").text == "left open"
    assert seen(ctx) == "nothing"
    gc.collect()
    assert ends == ["closed"]
    assert counters().unleft_scopes == before + 1


def test_a_propagated_scope_is_not_brought_back_by_an_inner_block_that_outlives_it(ctx: WorkCtx) -> None:
    outer, inner = Scope(ctx), Scope(ctx)
    first, second = propagate(outer), propagate(inner)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    second.__exit__(None, None, None)
    assert seen(ctx) == "nothing"
    outer.close()
    inner.close()


KEPT_THREADS = """
import asyncio, contextvars, queue, sys, threading
from concurrent.futures import ThreadPoolExecutor
from flask import Flask
from tlctx import ctx
from tlctx.flask import TLCtx

def who():
    return getattr(ctx, "user", "nobody")

def serve(jobs):
    for answers in iter(jobs.get, None):
        answers.put(who())

def asked(jobs):
    answers = queue.Queue()
    jobs.put(answers)
    return answers.get(timeout=60)

class Worker(threading.Thread):
    def __init__(self):
        super().__init__()
        self.jobs = queue.Queue()

    def run(self):
        serve(self.jobs)

def submitted(pool):
    return pool.submit(who).result(60)

app = Flask("jobs")
TLCtx(app, ctx, initialize=lambda environ: {"user": environ["QUERY_STRING"]})
jobs, worker, timers_jobs = queue.Queue(), Worker(), queue.Queue()
plain = threading.Thread(target=serve, args=[jobs])
timer = threading.Timer(0, serve, [timers_jobs])
in_view, of_thread, shared = ThreadPoolExecutor(1), ThreadPoolExecutor(1), ThreadPoolExecutor(1)

@app.get("/first")
async def first():
    for thread in (plain, worker, timer):       # each is started by this request, and stays
        thread.start()
    in_view.submit(int).result()
    await asyncio.to_thread(lambda: of_thread.submit(int).result())
    await asyncio.get_running_loop().run_in_executor(shared, contextvars.copy_context().run, int)
    return " ".join(all_of_them())

def all_of_them():
    threads = [asked(jobs), asked(worker.jobs), asked(timers_jobs)]
    return threads + [submitted(in_view), submitted(of_thread), submitted(shared), who()]

@app.get("/sync")
def second():
    return " ".join(all_of_them())

@app.get("/async")
async def third():
    return " ".join(all_of_them())

@app.get("/given")
async def given():
    found, options = [], {"context": contextvars.copy_context()} if sys.version_info >= (3, 14) else {}
    thread = threading.Thread(target=lambda: found.append(who()), **options)
    thread.start()
    thread.join()
    return found.pop()

for path in ("/first?ann", "/sync?bob", "/async?cat"):
    print(app.test_client().get(path).text)
print(*all_of_them())
for each in (jobs, worker.jobs, timers_jobs):
    each.put(None)
print(app.test_client().get("/given?dan").text)
"""


@pytest.mark.parametrize("inherit", ["0", "1"])
def test_a_thread_that_a_view_started_and_that_stays_never_sees_a_request(inherit: str) -> None:
    shown = run_program(KEPT_THREADS, PYTHON_THREAD_INHERIT_CONTEXT=inherit).splitlines()
    assert shown[:4] == [f"{'nobody ' * 6}{user}" for user in ("ann", "bob", "cat", "nobody")]
    given = "dan" if sys.version_info >= (3, 14) else "nobody"
    assert shown[4:] == [given], "a thread that is given the context variables on purpose sees the request"
