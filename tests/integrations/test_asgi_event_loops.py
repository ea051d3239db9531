"""tlctx.asgi on trio, and under anyio's cancel scopes: as on asyncio, each request sees its own scope, and ends."""

from __future__ import annotations

from typing import Any

import pytest
from support.asgi import ctx, http_scope, seen, start, within
from support.requests import Recorder

from tlctx import RequestEndedError
from tlctx.lowlevel import open_scopes

pytest.importorskip("trio", reason="needs trio")
pytest.importorskip("anyio", reason="needs anyio")

import anyio
import anyio.to_thread
import trio

pytestmark = pytest.mark.usefixtures("nothing_is_left")
both_loops = pytest.mark.parametrize("backend", ["asyncio", "trio"])


async def no_message() -> Any:
    raise AssertionError


async def nowhere(message: Any) -> None:
    await anyio.sleep(0)


async def serve(app: Any, path: str = "/path") -> None:
    await within(app)(http_scope(path), no_message, nowhere)


@both_loops
def test_requests_that_take_turns_each_see_their_own_values_also_in_tasks_and_threads(backend: str) -> None:
    wrong: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        name = scope["path"]
        ctx.user = name
        await start(send)
        for _ in range(3):
            await send({"type": "http.response.body", "body": b"part", "more_body": True})
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(look, name)
            wrong.extend(found for found in (ctx.user, await anyio.to_thread.run_sync(seen)) if found != name)
        await send({"type": "http.response.body", "body": b""})
        wrong.extend(found for found in (ctx.user,) if found != name)

    async def look(name: str) -> None:
        await anyio.sleep(0)
        if ctx.user != name:
            wrong.append(ctx.user)

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            for number in range(50):
                tasks.start_soon(serve, app, f"/{number}")
        assert seen() == "nothing"

    anyio.run(main, backend=backend)
    assert wrong == []


@both_loops
def test_a_request_inside_a_cancel_scope_ends_with_the_cancellation(backend: str) -> None:
    ended: list[Any] = []
    cancel_scope: Any = None

    async def app(scope: Any, receive: Any, send: Any) -> None:
        ctx.enter_context(Recorder(ended))
        ctx.user = "ann"
        cancel_scope.cancel()
        try:
            await anyio.sleep_forever()
        finally:
            assert ctx.user == "ann"

    async def main() -> type[BaseException]:
        nonlocal cancel_scope
        with anyio.CancelScope() as cancel_scope:
            await serve(app)
        assert seen() == "nothing"
        assert open_scopes() == []
        return anyio.get_cancelled_exc_class()

    cancelled = anyio.run(main, backend=backend)
    assert ended == [(cancelled, "ann")]


@both_loops
def test_a_task_that_outlives_its_request_is_told_so(backend: str) -> None:
    async def late(go: Any) -> None:
        await go.wait()
        with pytest.raises(RequestEndedError, match=r"\(GET /path\) has ended"):
            _ = ctx.user

    async def main() -> None:
        go = anyio.Event()
        async with anyio.create_task_group() as tasks:

            async def app(scope: Any, receive: Any, send: Any) -> None:
                ctx.user = "ann"
                tasks.start_soon(late, go)
                await anyio.sleep(0)

            await serve(app)
            go.set()

    anyio.run(main, backend=backend)


def test_a_task_of_a_nursery_that_fails_ends_the_request() -> None:
    ended: list[Any] = []

    async def fail() -> None:
        raise ValueError(ctx.user)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        ctx.enter_context(Recorder(ended))
        ctx.user = "ann"
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail)

    async def main() -> None:
        with pytest.raises(ExceptionGroup) as caught:
            await serve(app)
        assert str(caught.value.exceptions[0]) == "ann"

    trio.run(main)
    assert ended == [(ExceptionGroup, "ann")]
