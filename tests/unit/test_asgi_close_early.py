"""close_early of an ASGI request: its scope ends before the answer begins."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.asgi import Exchange, answer, ctx, seen, serve, start, within
from support.helpers import Boom, raise_boom
from support.requests import Recorder

from tlctx import RequestEndedError
from tlctx.lowlevel import close_early

pytestmark = pytest.mark.usefixtures("nothing_is_left")


def test_close_early_ends_the_scope_before_the_answer_begins() -> None:
    log: list[Any] = []

    class Server(Exchange):
        async def send(self, message: Any) -> None:
            log.append(message["type"])

    async def app(scope: Any, receive: Any, send: Any) -> None:
        ctx.enter_context(Recorder(log))
        ctx.user = "ann"
        close_early(ctx)
        assert ctx.user == "ann"
        await start(send)
        with pytest.raises(RequestEndedError, match="GET /path"):
            _ = ctx.user
        await send({"type": "http.response.body", "body": b"late"})

    async def main() -> None:
        await Server(within(app))
        assert seen() == "nothing"

    asyncio.run(main())
    assert log == [(None, "ann"), "http.response.start", "http.response.body"]


def test_a_teardown_that_fails_before_the_answer_leaves_it_to_an_error_page(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        ctx.callback(raise_boom)
        close_early(ctx)
        try:
            await answer(send, b"saved")
        except Boom:
            await start(send, 500)
            await send({"type": "http.response.body", "body": b"not saved"})

    exchange = serve(within(app))
    assert (exchange.status, exchange.body) == (500, b"not saved")
    assert ["its teardown failed" in record.message for record in caplog.records] == [True]


def test_a_teardown_that_fails_before_the_answer_reaches_the_server_before_anything_was_sent() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        ctx.callback(raise_boom)
        close_early(ctx)
        await answer(send, b"saved")

    exchange = Exchange(within(app))

    async def main() -> None:
        await exchange

    with pytest.raises(Boom):
        asyncio.run(main())
    assert exchange.sent == []


def test_close_early_of_a_request_whose_answer_has_begun_changes_nothing() -> None:
    ended: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        ctx.enter_context(Recorder(ended))
        await start(send)
        close_early(ctx)
        await send({"type": "http.response.body", "body": b"rest"})
        assert ended == []

    serve(within(app))
    assert ended == [(None, None)]
