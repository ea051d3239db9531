"""tlctx.asgi under Quart: what it runs for a request sees its scope, and nothing else does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from support.asgi import ctx, path_as_user, within
from support.requests import Recorder

pytest.importorskip("quart", reason="needs Quart")

from quart import Quart, websocket

pytestmark = pytest.mark.usefixtures("nothing_is_left")


def test_views_streams_and_background_tasks_of_quart_see_the_request() -> None:
    log: list[Any] = []
    app = Quart(__name__)
    app.asgi_app = within(app.asgi_app, path_as_user)  # type: ignore[method-assign,assignment]

    @app.before_request
    async def before() -> None:
        ctx.enter_context(Recorder(log))

    @app.get("/coroutine")
    async def coroutine() -> Any:
        return ctx.user

    @app.get("/plain")
    def plain() -> Any:
        ctx.user = f"{ctx.user} in a thread"
        return ctx.user

    @app.get("/stream")
    async def stream() -> Any:
        async def chunks() -> AsyncIterator[str]:
            for _ in range(2):
                await asyncio.sleep(0)
                yield ctx.user

        return chunks()

    async def main() -> list[Any]:
        client = app.test_client()
        return [await (await client.get(path)).get_data() for path in ("/coroutine", "/plain", "/stream")]

    assert asyncio.run(main()) == [b"/coroutine", b"/plain in a thread", b"/stream/stream"]
    assert log == [(None, "/coroutine"), (None, "/plain in a thread"), (None, "/stream")]


def test_a_websocket_of_quart_has_one_scope() -> None:
    log: list[Any] = []
    app = Quart(__name__)
    app.asgi_app = within(app.asgi_app, path_as_user)  # type: ignore[method-assign,assignment]

    @app.websocket("/chat")
    async def chat() -> None:
        ctx.enter_context(Recorder(log))
        for _ in range(2):
            ctx.user += f" {await websocket.receive()!s}"
        await websocket.send(ctx.user)

    async def main() -> str:
        async with app.test_client().websocket("/chat") as socket:
            await socket.send("a")
            await socket.send("b")
            return str(await socket.receive())

    assert asyncio.run(main()) == "/chat a b"
    assert log == [(None, "/chat a b")]
