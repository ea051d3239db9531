"""Flask: async views, their tasks and threads share the request's scope."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from asgiref.sync import ThreadSensitiveContext, sync_to_async
from asgiref.wsgi import WsgiToAsgi
from flask import Flask
from support.flask_app import WorkCtx
from support.helpers import PATIENCE, Boom, run_program


def test_an_async_view_reads_what_was_set_before_and_what_it_sets_is_read_after(app: Flask, ctx: WorkCtx) -> None:
    threads: list[Any] = []

    @app.before_request
    async def before() -> None:
        ctx.word = f"{ctx.user} before"

    @app.get("/")
    async def index() -> str:
        threads.append(threading.get_ident())
        word, ctx.word = ctx.word, "set inside"
        await asyncio.sleep(0)
        return f"{word}, {ctx.word}"

    @app.after_request
    def after(response: Any) -> Any:
        threads.append(threading.get_ident())
        response.headers["X-Word"] = ctx.word
        return response

    answer = app.test_client().get("/", headers={"X-User": "ann"})
    assert (answer.text, answer.headers["X-Word"]) == ("ann before, set inside", "set inside")
    assert threads[0] != threads[1], "the view ran on the same thread: this shows nothing"


def test_tasks_and_other_threads_of_an_async_view_share_its_scope(app: Flask, ctx: WorkCtx) -> None:
    async def one(name: str) -> str:
        await asyncio.sleep(0)
        setattr(ctx, name, f"{name} of {ctx.user}")
        return ctx.user

    def on_another_thread() -> str:
        ctx.thread = threading.get_ident()  # type: ignore[attr-defined]
        return f"{ctx.user}, {ctx.first}"  # type: ignore[attr-defined]

    @app.get("/")
    async def index() -> Any:
        gathered = await asyncio.gather(one("first"), one("second"))
        hopped = await asyncio.to_thread(on_another_thread)
        back = await sync_to_async(lambda: f"{ctx.user}, {ctx.second}")()  # type: ignore[attr-defined]
        assert ctx.thread != threading.get_ident()  # type: ignore[attr-defined]
        return [*gathered, hopped, back, sorted(ctx)]

    answer = app.test_client().get("/", headers={"X-User": "ann"})
    assert answer.json == [
        "ann", "ann", "ann, first of ann", "ann, second of ann", ["first", "log", "second", "thread", "user"],
    ]  # fmt: skip


def test_an_async_views_exception_rolls_back_too(app: Flask, ctx: WorkCtx, log: list[Any]) -> None:
    app.config["PROPAGATE_EXCEPTIONS"] = False

    @app.get("/")
    async def index() -> str:
        assert ctx.work
        raise Boom

    assert app.test_client().get("/").status_code == 500
    assert log == ["Boom"]


def test_two_async_requests_on_one_shared_event_loop_each_see_their_own(app: Flask, ctx: WorkCtx) -> None:
    together = asyncio.Barrier(2)

    @app.get("/")
    async def index() -> str:
        found = [ctx.user]
        for _ in range(3):
            await together.wait()
            found.append(ctx.user)
            found.extend(await asyncio.gather(asyncio.to_thread(lambda: ctx.user)))
        return " ".join(found)

    served: Any = WsgiToAsgi(app)  # type: ignore[no-untyped-call]

    async def ask(user: str) -> bytes:
        body = bytearray()
        scope = {
            "type": "http", "method": "GET", "path": "/", "query_string": b"", "http_version": "1.1", "scheme": "http",
            "headers": [(b"x-user", user.encode())], "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 1),
        }  # fmt: skip
        received = iter([{"type": "http.request", "body": b"", "more_body": False}])

        async def receive() -> Any:
            return next(received)

        async def send(message: Any) -> None:
            body.extend(message.get("body", b""))

        async with ThreadSensitiveContext():  # a thread for each request, as ASGI servers have it
            await served(scope, receive, send)
        return bytes(body)

    async def main() -> Any:
        return await asyncio.wait_for(asyncio.gather(ask("ann"), ask("bob")), PATIENCE)

    assert asyncio.run(main()) == [b"ann ann ann ann ann ann ann", b"bob bob bob bob bob bob bob"]


def test_a_request_from_inside_a_coroutine_may_open_scopes(app: Flask, ctx: WorkCtx) -> None:
    @app.get("/")
    def index() -> str:
        with ctx.scope(user="inner"):
            return ctx.user

    async def ask() -> str:
        return app.test_client().get("/").text

    assert asyncio.run(ask()) == "inner"


JOBS_OF_OTHERS = """
import asyncio, sys, threading
from concurrent.futures import ThreadPoolExecutor
from flask import Flask
from tlctx import ctx
from tlctx.flask import TLCtx

def who():
    return getattr(ctx, "user", "nobody")

async def who_in_a_loop():
    await asyncio.sleep(0)
    return who()

app, pool = Flask("jobs"), ThreadPoolExecutor(1)
TLCtx(app, ctx, initialize=lambda environ: {"user": environ["QUERY_STRING"]})
started, may_end = threading.Event(), threading.Event()

@app.get("/slow")
async def slow():
    own = [pool.submit(who).result()]               # the first job starts the pool's only thread
    own += [await asyncio.to_thread(who), await asyncio.to_thread(who)]
    started.set()
    await asyncio.to_thread(may_end.wait, 60)
    return ", ".join([*own, ctx.user])

@app.get("/quick")
def quick():
    return ", ".join([pool.submit(who).result(), pool.submit(asyncio.run, who_in_a_loop()).result(), who()])

def ask(path):
    return app.test_client().get(path).text

answers = []
thread = threading.Thread(target=lambda: answers.append(ask("/slow?ann")))
thread.start()
assert started.wait(60)
print(ask("/quick?bob"))
may_end.set()
thread.join()
print(*answers)
print(ask("/quick?cat"))
pool.shutdown()
"""


@pytest.mark.parametrize("inherit", ["0", "1"])
def test_a_pools_thread_sees_nothing_of_the_async_view_that_started_it(inherit: str) -> None:
    shown = run_program(JOBS_OF_OTHERS, PYTHON_THREAD_INHERIT_CONTEXT=inherit).splitlines()
    assert shown == ["nobody, nobody, bob", "nobody, ann, ann, ann", "nobody, nobody, cat"]
