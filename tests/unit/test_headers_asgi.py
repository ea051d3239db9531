"""The ASGI middleware: where the request id goes, inside of the context's middleware and outside of it."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

import pytest
from support.headers import FORGED, ContextApp, HeadersCtx, assigner_removed_after

from tlctx.headers import Headers, _rules, counters

if TYPE_CHECKING:
    from collections.abc import Iterator

Mount = Any


@pytest.fixture(autouse=True)
def _the_assigner_is_removed() -> Iterator[None]:
    with assigner_removed_after():
        yield


@pytest.fixture
def ctx() -> Any:
    return HeadersCtx()


@pytest.fixture(params=["by hand", "tlctx.asgi"])
def context_middleware(request: pytest.FixtureRequest) -> Any:
    if request.param == "by hand":
        return ContextApp
    if importlib.util.find_spec("tlctx.asgi") is None:
        pytest.skip("tlctx.asgi is not there")
    return importlib.import_module("tlctx.asgi").ContextMiddleware


@pytest.fixture(params=["inside", "outside", "both"])
def mount(request: pytest.FixtureRequest, context_middleware: Any) -> Mount:
    """Mounts a headers middleware inside of the context's, outside of it, or both."""

    def mount(app: Any, headers: Headers) -> Any:
        inner = app if request.param == "outside" else headers.asgi(app)
        served = context_middleware(inner, headers.ctx)
        return served if request.param == "inside" else headers.asgi(served)

    return mount


class App:
    """An ASGI application that notes the request ids that it sees, in the context and in the ASGI scope."""

    def __init__(self, ctx: Any, start: str = "http.response.start", *own: tuple[bytes, bytes]) -> None:
        self.ctx = ctx
        self.seen: list[Any] = []
        self.start = {"type": start, "status": 200, "headers": list(own)}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0)
        self.seen.append((self.ctx.request_id, scope["tlctx.request_id"]))
        await send(self.start)
        await send({"type": "http.response.body", "body": b"answer"})


async def call(app: Any, *ids: bytes, kind: str = "http", name: bytes = b"x-request-id") -> list[Any]:
    """The messages that the application sends to the server."""
    sent: list[Any] = []

    async def receive() -> Any:
        raise AssertionError("it asked for the body")

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"host", b"x"), *[(name, value) for value in ids]]
    await app({"type": kind, "method": "GET", "path": "/path", "headers": headers}, receive, send)
    return sent


def get(app: Any, *ids: bytes, **more: Any) -> list[Any]:
    return asyncio.run(call(app, *ids, **more))


def echoed(messages: list[Any]) -> list[bytes]:
    return [value for name, value in messages[0]["headers"] if name.lower() == b"x-request-id"]


@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_a_valid_request_id_is_in_the_context_and_in_the_scope(ctx: Any, mount: Mount, kind: str) -> None:
    app, before = App(ctx), counters()
    assert get(mount(app, Headers(ctx)), b"abc-1", kind=kind)[0] == app.start
    get(mount(app, Headers(ctx)), b"abc-2", name=b"X-Request-ID")
    assert app.seen == [("abc-1", "abc-1"), ("abc-2", "abc-2")]
    assert counters() == before


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
def test_a_forged_one_is_replaced_and_counted(ctx: Any, mount: Mount, forged: str) -> None:
    app, before = App(ctx), counters()
    messages = get(mount(app, Headers(ctx, echo=True)), forged.encode("latin-1"))
    ((request_id, in_scope),) = app.seen
    assert request_id == in_scope != forged
    assert _rules.is_request_id(request_id)
    assert echoed(messages) == [request_id.encode()]
    assert counters().request_ids == before.request_ids + 1


def test_a_repeated_one_is_replaced_and_counted(ctx: Any, mount: Mount) -> None:
    app, before = App(ctx), counters()
    get(mount(app, Headers(ctx)), b"abc", b"abc")
    assert app.seen[0][0] != "abc"
    assert counters().request_ids == before.request_ids + 1


def test_requests_that_take_turns_each_see_their_own(ctx: Any, mount: Mount) -> None:
    app = App(ctx)
    application = mount(app, Headers(ctx))
    names = [f"id-{number}" for number in range(50)]

    async def all_at_once() -> None:
        await asyncio.gather(*[call(application, name.encode()) for name in names])

    asyncio.run(all_at_once())
    assert sorted(app.seen) == sorted((name, name) for name in names)


def test_a_request_inside_a_request_has_its_own_and_the_outer_keeps_its_own(ctx: Any, mount: Mount) -> None:
    inner, headers, seen = App(ctx), Headers(ctx), []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.create_task(call(mount(inner, headers), b"inner"))
        seen.append(ctx.request_id)

    get(mount(app, headers), b"outer")
    assert (inner.seen, seen) == ([("inner", "inner")], ["outer"])


@pytest.mark.parametrize("start", ["http.response.start", "websocket.accept", "websocket.http.response.start"])
def test_it_is_echoed_if_asked_for(ctx: Any, mount: Mount, start: str) -> None:
    app = App(ctx, start)
    assert echoed(get(mount(app, Headers(ctx, echo=True)), b"abc")) == [b"abc"]
    assert echoed(get(mount(app, Headers(ctx)), b"abc")) == []
    assert app.start["headers"] == []


def test_an_applications_own_header_is_left_as_it_is(ctx: Any, mount: Mount) -> None:
    app = App(ctx, "http.response.start", (b"X-Request-Id", b"own"))
    assert echoed(get(mount(app, Headers(ctx, echo=True)), b"abc")) == [b"own"]


def test_a_message_without_headers_gets_them(ctx: Any, mount: Mount) -> None:
    app = App(ctx, "websocket.accept")
    del app.start["headers"]
    assert echoed(get(mount(app, Headers(ctx, echo=True)), b"abc")) == [b"abc"]


def test_lifespan_passes_through(ctx: Any) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope, receive, send))

    async def receive() -> Any: ...
    async def send(message: Any) -> None: ...

    scope = {"type": "lifespan"}
    asyncio.run(Headers(ctx, echo=True).asgi(app)(scope, receive, send))
    assert seen == [({"type": "lifespan"}, receive, send)]


def test_send_is_the_servers_own_where_nothing_is_echoed(ctx: Any) -> None:
    given: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        given.append(send)

    async def receive() -> Any: ...
    async def send(message: Any) -> None: ...

    asyncio.run(Headers(ctx).asgi(app)({"type": "http", "headers": []}, receive, send))
    assert given == [send]
