"""Applications inside ASGI applications: which requests join the scope of the outer one, and which get their own."""

from __future__ import annotations

from typing import Any

import pytest
from support.asgi import Exchange, answer, ctx, greet, http_scope, seen, serve, start, within
from support.contexts import UserCtx
from support.requests import Recorder

from tlctx.lowlevel import close_early

pytestmark = pytest.mark.usefixtures("nothing_is_left")


def test_applied_twice_the_inner_one_joins_the_scope_of_the_outer() -> None:
    ended: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert ctx.user == "outer"
        assert len(scope["tlctx.scopes"]) == 1
        ctx.enter_context(Recorder(ended))
        ctx.user = "inner"
        await answer(send)

    async def outer(scope: Any, receive: Any, send: Any) -> None:
        ctx.user = "outer"
        await within(app, never)(scope, receive, send)
        assert (ctx.user, ended) == ("inner", [])

    def never(scope: Any) -> Any:
        raise AssertionError

    serve(within(outer))
    assert ended == [(None, "inner")]


@pytest.mark.parametrize(
    "changes",
    [{}, {"root_path": "/api", "path": "/notes"}, {"root_path": "/api"}, {"headers": [(b"x-added", b"1")]}],
    ids=["copied", "mounted, the rest of the path", "mounted, the whole path", "with a header more"],
)
def test_an_app_that_is_mounted_with_a_copy_of_the_asgi_scope_joins_too(changes: dict[str, Any]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, seen().encode())

    async def outer(scope: Any, receive: Any, send: Any) -> None:
        ctx.user = "outer"
        await within(app)({**scope, **changes}, receive, send)

    assert serve(within(outer), http_scope("/api/notes")).body == b"outer"


@pytest.mark.parametrize(
    "changes",
    [{"path": "/other"}, {"method": "POST"}, {"root_path": "/more"}, {"type": "websocket"}],
    ids=lambda changes: next(iter(changes)),
)
def test_a_request_made_with_a_copy_of_the_asgi_scope_gets_a_scope_of_its_own(changes: dict[str, Any]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert seen() == "nothing"
        assert len(scope["tlctx.scopes"]) == 2
        ctx.user = "inner"

    async def outer(scope: Any, receive: Any, send: Any) -> None:
        ctx.user = "outer"
        await within(app)({**scope, **changes}, receive, send)
        assert ctx.user == "outer"
        await Exchange(within(greet))  # and one of a client inside the process
        assert ctx.user == "outer"
        assert len(scope["tlctx.scopes"]) == 1

    serve(within(outer), http_scope("/api/notes"))


def test_two_contexts_of_one_request_have_a_scope_each() -> None:
    other = UserCtx()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert (ctx.user, other.user) == ("of the first", "of the other")
        assert [each.context for each in scope["tlctx.scopes"]] == [ctx, other]
        close_early(ctx)
        await start(send)
        assert seen() == "nothing"
        assert other.user == "of the other"

    serve(within(within(app, lambda scope: {"user": "of the other"}, other), lambda scope: {"user": "of the first"}))


def test_what_stands_between_the_middlewares_of_two_contexts_sees_that_of_the_outer_one_as_it_sends() -> None:
    other = UserCtx()
    found: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await answer(send, b"a", b"b")

    async def between(scope: Any, receive: Any, send: Any) -> None:
        async def send_and_look(message: Any) -> None:
            found.append((other.user, seen()))
            await send(message)

        await within(app, lambda scope: {"user": "inner"})(scope, receive, send_and_look)

    serve(within(between, lambda scope: {"user": "outer"}, other))
    assert [user for user, _ in found] == ["outer"] * 3
    assert found[-1] == ("outer", "nothing")


def test_a_request_made_in_a_scope_of_its_own_does_not_join_that() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert seen() == "nothing"

    async def outer(scope: Any, receive: Any, send: Any) -> None:
        with ctx.scope(user="by hand"):
            await within(app)(scope, receive, send)
            assert ctx.user == "by hand"

    serve(within(outer))
