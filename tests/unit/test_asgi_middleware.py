"""tlctx.asgi.ContextMiddleware: each request has a scope of its own, from the application's call to its return."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.asgi import Exchange, answer, ctx, greet, http_scope, seen, serve, start, websocket_scope, within
from support.contexts import UserCtx
from support.helpers import Boom

from tlctx import OutsideRequestError, Scope
from tlctx.asgi import ContextMiddleware
from tlctx.lowlevel import Observer, add_observer, remove_observer

pytestmark = pytest.mark.usefixtures("nothing_is_left")


def test_the_client_gets_what_the_application_sends() -> None:
    bare, within_ours = serve(greet_without_context), serve(within(greet))
    assert within_ours.sent == bare.sent
    assert within_ours.body == b"hello ann"


async def greet_without_context(scope: Any, receive: Any, send: Any) -> None:
    await answer(send, b"hello ", b"ann")


def test_each_of_thousands_of_requests_that_take_turns_sees_its_own_values() -> None:
    wrong: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        name = scope["path"]
        if seen() != "nothing":
            wrong.append((name, seen()))
        ctx.user = name
        await start(send)
        for _ in range(3):
            await asyncio.sleep(0)
            if ctx.user != name or await child() != name:
                wrong.append((name, ctx.user))
            await send({"type": "http.response.body", "body": name.encode(), "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        await asyncio.sleep(0)
        if ctx.user != name:
            wrong.append((name, "after the answer", ctx.user))

    async def child() -> str:
        return await asyncio.create_task(read())

    async def read() -> str:
        await asyncio.sleep(0)
        return ctx.user  # type: ignore[no-any-return]

    async def main() -> list[Exchange]:
        exchanges = [Exchange(within(app), http_scope(f"/{number}")) for number in range(2000)]

        async def run(exchange: Exchange) -> None:
            await exchange

        await asyncio.gather(*map(run, exchanges))
        return exchanges

    for exchange in asyncio.run(main()):
        assert exchange.body == exchange.scope["path"].encode() * 3
    assert wrong == []


def test_the_scope_is_named_after_the_request_and_has_its_asgi_scope_as_its_source() -> None:
    found: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        current = Scope.current(ctx)
        assert current is not None
        found.append((current.label, current.source is scope))
        with pytest.raises(AttributeError, match=r"in request #\d+ \("):
            _ = ctx.missing

    serve(within(app), http_scope("/notes"))
    serve(within(app), websocket_scope("/chat"))
    assert found == [("GET /notes", True), ("websocket /chat", True)]


def test_the_asgi_scope_is_the_servers_own_and_has_one_key_more_without_any_value() -> None:
    scope = http_scope()
    before = dict(scope)

    async def app(inner: Any, receive: Any, send: Any) -> None:
        assert inner is scope
        ctx.user = "s3cret value"

    serve(within(app), scope)
    (key,) = set(scope) - set(before)
    assert key == "tlctx.scopes"
    assert {name: value for name, value in scope.items() if name != key} == before
    assert "s3cret value" not in repr(scope)
    assert "GET /path" in repr(scope[key])


@pytest.mark.parametrize("kind", ["lifespan", "something.new"])
def test_what_is_no_request_passes_through_without_a_scope(kind: str) -> None:
    scope = {"type": kind}
    seen_there: list[str] = []

    async def app(inner: Any, receive: Any, send: Any) -> None:
        assert (inner, receive, send) == (scope, exchange.receive, exchange.send)
        seen_there.append(seen())
        with pytest.raises(OutsideRequestError):
            ctx.user = "ann"

    exchange = Exchange(within(app), scope)

    async def main() -> None:
        await exchange

    asyncio.run(main())
    assert seen_there == ["nothing"]
    assert scope == {"type": kind}


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((None, ctx), "the app must be an ASGI application, a callable, not NoneType"),
        ((greet, None), "the context must be a RequestContext, not NoneType"),
        ((greet, UserCtx), "the context must be a RequestContext, not .*: give an instance, not the class"),
        ((greet, ctx, {}), "initialize must be a function of the ASGI scope, not dict"),
    ],
)
def test_wrong_arguments_are_refused(arguments: Any, text: str) -> None:
    with pytest.raises(TypeError, match=text):
        ContextMiddleware(*arguments)


def test_observers_are_told_of_a_request() -> None:
    events: list[Any] = []

    class Watching(Observer):
        def begin(self, scope: Scope) -> None:
            events.append(("begin", scope.label, list(scope.namespace), scope.thread != 0))

        def end(self, scope: Scope, error: BaseException | None) -> None:
            events.append(("end", scope.label, type(error)))

    async def failing(scope: Any, receive: Any, send: Any) -> None:
        ctx.user = "ann"
        raise Boom

    add_observer(observer := Watching())
    try:
        serve(within(greet))
        with pytest.raises(Boom):
            serve(within(failing))
    finally:
        remove_observer(observer)
    begin: Any = ("begin", "GET /path", [], True)
    assert events == [begin, ("end", "GET /path", type(None)), begin, ("end", "GET /path", Boom)]
