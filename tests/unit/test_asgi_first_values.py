"""The first values of an ASGI request's scope: those of `initialize`, and those of the context's own `__init__`."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.asgi import answer, ctx, greet, http_scope, serve, within
from support.helpers import Boom
from support.requests import Recorder

from tlctx import RequestContext, Scope
from tlctx.asgi import ContextMiddleware

pytestmark = pytest.mark.usefixtures("nothing_is_left")


def test_the_first_values_come_from_a_function_of_the_asgi_scope() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, ctx.user.encode())

    def first_values(scope: Any) -> Any:
        assert Scope.current(ctx) is scope["tlctx.scopes"][0]
        return {"user": scope["path"]}

    assert serve(within(app, first_values), http_scope("/ann")).body == b"/ann"


def test_the_first_values_may_be_awaited() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, ctx.user.encode())

    async def first_values(scope: Any) -> Any:
        await asyncio.sleep(0)
        ctx.user = "overwritten"
        return {"user": scope["path"]}

    assert serve(within(app, first_values), http_scope("/ann")).body == b"/ann"


@pytest.mark.parametrize("values", [None, ["user"], {1: "ann"}])
def test_first_values_that_are_no_mapping_from_names_are_refused(values: Any) -> None:
    async def later(scope: Any) -> Any:
        return values

    for first_values in (lambda scope: values, later):
        with pytest.raises(TypeError, match="the first values must be a mapping from names"):
            serve(within(greet, first_values))


def test_first_values_that_fail_end_the_scope_and_the_application_is_not_called() -> None:
    ended: list[Any] = []

    def first_values(scope: Any) -> Any:
        ctx.user = "ann"
        ctx.enter_context(Recorder(ended))
        raise Boom

    async def never(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError

    with pytest.raises(Boom):
        serve(within(never, first_values))
    assert ended == [(Boom, "ann")]


def test_the_contexts_own_init_runs_in_each_request() -> None:
    class Ctx(RequestContext):
        user: str

        def __init__(self, user: str) -> None:
            self.user = user

    context = Ctx("ann")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, context.user.encode())
        context.user = "bob"

    middleware = ContextMiddleware(app, context)
    assert [serve(middleware).body, serve(middleware).body] == [b"ann", b"ann"]
