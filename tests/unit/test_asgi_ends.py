"""How an ASGI request's scope ends: the application returns, raises, is cancelled or dropped; a teardown may fail."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from support.asgi import Exchange, answer, ctx, seen, serve, start, within
from support.helpers import Boom, raise_boom
from support.requests import Recorder

from tlctx.lowlevel import open_scopes

pytestmark = pytest.mark.usefixtures("nothing_is_left")


def test_the_scope_ends_when_the_application_returns_and_background_tasks_are_part_of_that() -> None:
    ended: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        ctx.enter_context(Recorder(ended))
        ctx.user = "ann"
        await answer(send, b"done")
        await asyncio.sleep(0)  # as a background task does
        assert (ctx.user, ended) == ("ann", [])

    serve(within(app))
    assert ended == [(None, "ann")]


@pytest.mark.parametrize("error", [Boom, asyncio.CancelledError, GeneratorExit, SystemExit])
@pytest.mark.parametrize("sends", [0, 1, 2])
def test_what_the_application_raises_goes_on_and_the_teardown_learns_of_it(
    error: type[BaseException], sends: int
) -> None:
    ended: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        ctx.enter_context(Recorder(ended))
        ctx.user = "ann"
        if sends:
            await start(send)
        if sends == 2:
            await send({"type": "http.response.body", "body": b"part", "more_body": True})
        raise error

    async def main() -> None:
        exchange = Exchange(within(app))
        coroutine = app_of(exchange)
        with pytest.raises(error):
            while True:
                coroutine.send(None)
        assert len(exchange.sent) == sends
        assert seen() == "nothing"

    def app_of(exchange: Exchange) -> Any:
        return exchange.app(exchange.scope, exchange.receive, exchange.send)

    asyncio.run(main())
    assert ended == [(error, "ann")]


def test_a_request_that_is_cancelled_ends() -> None:
    ended: list[Any] = []

    async def main() -> None:
        reached = asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            ctx.enter_context(Recorder(ended))
            ctx.user = "ann"
            reached.set()
            await asyncio.Event().wait()

        async def run() -> None:
            await Exchange(within(app))

        task = asyncio.create_task(run())
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert ended == [(asyncio.CancelledError, "ann")]
    assert open_scopes() == []


def test_a_request_whose_coroutine_is_dropped_ends() -> None:
    ended: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        ctx.enter_context(Recorder(ended))
        await asyncio.sleep(0)

    async def main() -> None:
        exchange = Exchange(within(app))
        coroutine = exchange.app(exchange.scope, exchange.receive, exchange.send)
        coroutine.send(None)
        coroutine.close()
        assert seen() == "nothing"

    asyncio.run(main())
    assert ended == [(GeneratorExit, None)]


def test_a_teardown_that_fails_after_the_answer_is_reported_and_goes_to_the_server(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        ctx.callback(raise_boom)
        await answer(send, b"done")

    exchange = Exchange(within(app))

    async def main() -> None:
        await exchange

    with pytest.raises(Boom):
        asyncio.run(main())
    assert exchange.body == b"done"
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("tlctx", logging.ERROR)
    assert "(GET /path): its teardown failed" in record.message


def test_what_the_application_raised_goes_on_also_where_the_teardown_fails(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        ctx.callback(raise_boom)
        raise ValueError("of the application")

    with pytest.raises(ValueError, match="of the application"):
        serve(within(app))
    assert ["its teardown failed" in record.message for record in caplog.records] == [True]
