"""Requests inside requests: one scope for each, and one for the same request."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest
from support.helpers import start_nothing
from support.requests import Request, hello, stream
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client, create_environ

from tlctx import ContextMiddleware, RequestContext, Scope, ctx

pytestmark = pytest.mark.usefixtures("nothing_is_left")


def test_applied_twice_the_inner_one_joins_the_outers_scope() -> None:
    scopes: list[Any] = []

    def initialize(environ: Any) -> Any:
        scopes.append(Scope.current(ctx))
        return {"user": "ann"}

    def inner(environ: Any, start_response: Any) -> Any:
        scopes.append(Scope.current(ctx))
        start_response("200 OK", [])
        return [ctx.user.encode()]

    mounted = DispatcherMiddleware(hello, {"/sub": ContextMiddleware(inner, ctx, initialize)})
    client = Client(ContextMiddleware(ContextMiddleware(mounted, ctx, initialize), ctx, initialize))
    assert client.get("/sub", buffered=True).data == b"ann"
    assert len(scopes) == 2
    assert scopes[0] is scopes[1]


def test_a_request_made_inside_a_request_gets_its_own_scope_also_while_it_streams() -> None:
    sub = ContextMiddleware(stream(b"s1", b"s2"), ctx)

    def app(environ: Any, start_response: Any) -> Any:
        ctx.user = "outer"
        body: Any = sub(create_environ("/sub"), start_nothing)
        assert ctx.user == "outer"

        def chunks() -> Iterator[bytes]:
            for chunk in body:
                assert ctx.user == "outer"
                yield chunk
            body.close()

        return chunks()

    request = Request(app)
    assert list(request()) == [b"s1", b"s2"]
    request.body.close()
    assert request.ended == [(None, "outer")]


class EqualToAll:
    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return True


@pytest.mark.parametrize(
    "change",
    [
        {"PATH_INFO": "/other"},
        {"PATH_INFO": "/path/below"},
        {"REQUEST_METHOD": "POST"},
        {"REQUEST_METHOD": "DELETE"},
        {"wsgi.input": io.BytesIO()},
        {"wsgi.input": EqualToAll()},
    ],
)
def test_a_request_made_inside_with_a_copy_of_the_environ_gets_its_own_scope(change: dict[str, Any]) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        if "inner" in environ:
            assert not hasattr(ctx, "user")
            ctx.user = "inner"
            return []
        ctx.user = "outer"
        request.middleware({**environ, **change, "inner": True}, start_nothing)
        return [ctx.user]

    request = Request(app)
    assert request() == ["outer"]
    assert request.ended == [(None, "inner"), (None, "outer")]


def test_the_same_request_is_joined_also_with_a_copy_of_the_environ_and_a_moved_script_name() -> None:
    def app(environ: Any, start_response: Any) -> Any:
        if "inner" in environ:
            return [ctx.user]
        ctx.user = "outer"
        method = "".join(list(environ["REQUEST_METHOD"]))
        mounted = {**environ, "SCRIPT_NAME": "/path", "PATH_INFO": "", "REQUEST_METHOD": method, "inner": True}
        return ContextMiddleware(app, ctx)(mounted, start_nothing)

    assert Request(app)() == ["outer"]


def test_an_environ_used_again_after_its_request_ended_gets_a_new_scope() -> None:
    request = Request(hello)
    request()
    request.started.clear()
    assert request() == [b"hello"]
    assert len(request.ended) == 2


def test_two_contexts_nested_each_see_their_own() -> None:
    class Other(RequestContext):
        user: str = "other"

    other = Other()

    def app(environ: Any, start_response: Any) -> Any:
        scopes = environ["tlctx.scopes"]
        assert scopes == (Scope.current(ctx), Scope.current(other))
        start_response("200 OK", [])
        return [f"{ctx.user} {other.user}".encode()]

    outer = ContextMiddleware(ContextMiddleware(app, other), ctx, lambda environ: {"user": "ann"})
    assert Client(outer).get("/", buffered=True).data == b"ann other"
    assert Scope.current(other) is None


def test_in_a_scope_of_ones_own_a_request_gets_another_although_its_environ_says_as_little() -> None:
    def app(environ: Any, start_response: Any) -> Any:
        if "inner" in environ:
            return [ctx.get("user")]
        environ["inner"] = True
        with ctx.scope(user="of the block"):
            return [*middleware(environ, start_nothing), ctx.user]

    middleware = ContextMiddleware(app, ctx)
    assert middleware({}, start_nothing) == [None, "of the block"]  # type: ignore[comparison-overlap]


def test_an_environ_that_only_claims_to_be_the_same_is_another_request() -> None:
    def app(environ: Any, start_response: Any) -> Any:
        users.append(ctx.get("user"))
        ctx.user = "outer"
        if len(users) == 1:
            request.middleware({**environ, "wsgi.input": EqualToAll()}, start_nothing)
        return []

    users: list[Any] = []
    request = Request(app)
    request()
    assert users == [None, None]
