"""tlctx.asgi under Starlette: what it runs for a request sees its scope, and nothing else does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from support.asgi import Exchange, ctx, http_scope, path_as_user, seen, serve, websocket_scope, within
from support.helpers import Boom, raise_boom
from support.requests import Recorder

from tlctx import OutsideRequestError, Scope
from tlctx.asgi import ContextMiddleware
from tlctx.lowlevel import close_early

pytest.importorskip("starlette", reason="needs Starlette")

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute

if TYPE_CHECKING:
    from starlette.websockets import WebSocket

pytestmark = pytest.mark.usefixtures("nothing_is_left")


def of_starlette(*routes: Any, **options: Any) -> ContextMiddleware:
    return within(Starlette(routes=routes, **options), path_as_user)


def connecting(*texts: str) -> list[dict[str, Any]]:
    return [{"type": "websocket.connect"}, *({"type": "websocket.receive", "text": text} for text in texts)]


def test_async_and_sync_endpoints_of_starlette_and_their_background_tasks_see_the_request() -> None:
    log: list[Any] = []

    def in_background() -> None:
        log.append(("background", seen()))

    async def coroutine(request: Any) -> Any:
        ctx.enter_context(Recorder(log))
        return PlainTextResponse(ctx.user, background=BackgroundTask(in_background))

    def plain(request: Any) -> Any:
        ctx.enter_context(Recorder(log))
        ctx.user = ctx.user.upper()
        return PlainTextResponse(ctx.user, background=BackgroundTask(in_background))

    app = of_starlette(Route("/coroutine", coroutine), Route("/plain", plain))
    assert serve(app, http_scope("/coroutine")).body == b"/coroutine"
    assert serve(app, http_scope("/plain")).body == b"/PLAIN"
    assert log == [
        ("background", "/coroutine"), (None, "/coroutine"), ("background", "/PLAIN"), (None, "/PLAIN"),
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["async", "sync"])
def test_a_streaming_response_of_starlette_sees_the_request_to_its_end(kind: str) -> None:
    log: list[Any] = []

    async def chunks() -> AsyncIterator[str]:
        for _ in range(3):
            await asyncio.sleep(0)
            yield ctx.user

    def sync_chunks() -> Iterator[str]:
        for _ in range(3):
            yield ctx.user

    async def endpoint(request: Any) -> Any:
        ctx.enter_context(Recorder(log))
        return StreamingResponse(chunks() if kind == "async" else sync_chunks())

    app = of_starlette(Route("/{name}", endpoint))

    async def main() -> list[Exchange]:
        async def run(exchange: Exchange) -> None:
            exchange.received.clear()
            exchange.receive = asyncio.Event().wait  # type: ignore[method-assign]  # the client stays
            await exchange

        exchanges = [Exchange(app, http_scope(f"/{number}")) for number in range(20)]
        await asyncio.gather(*map(run, exchanges))
        return exchanges

    for number, exchange in enumerate(asyncio.run(main())):
        assert exchange.body == f"/{number}".encode() * 3
    assert sorted(log) == sorted((None, f"/{number}") for number in range(20))


def test_a_client_that_leaves_ends_the_stream_and_the_scope() -> None:
    log: list[Any] = []

    async def endless() -> AsyncIterator[str]:
        try:
            while True:
                await asyncio.sleep(0)
                yield ctx.user
        finally:
            log.append(("stream", ctx.user))

    async def endpoint(request: Any) -> Any:
        ctx.enter_context(Recorder(log))
        return StreamingResponse(endless())

    serve(of_starlette(Route("/", endpoint)), http_scope("/", asgi={"version": "3.0", "spec_version": "2.3"}))
    assert log[-1][1] == "/"
    assert ("stream", "/") in log


def test_a_websocket_of_starlette_has_one_scope_from_its_start_to_its_end() -> None:
    log: list[Any] = []

    async def endpoint(socket: WebSocket) -> None:
        ctx.enter_context(Recorder(log))
        await socket.accept()
        for _ in range(2):
            ctx.user = f"{ctx.user} {await socket.receive_text()}"
        await socket.send_text(ctx.user)
        await socket.close()

    exchange = Exchange(of_starlette(WebSocketRoute("/chat", endpoint)), websocket_scope(), *connecting("a", "b"))

    async def main() -> None:
        await exchange

    asyncio.run(main())
    assert [message.get("text") for message in exchange.sent] == [None, "/chat a b", None]
    assert log == [(None, "/chat a b")]


def test_a_middleware_of_starlette_that_runs_the_rest_in_a_task_sees_what_that_wrote() -> None:
    async def dispatch(request: Any, call_next: Any) -> Any:
        ctx.user = "of the middleware"
        response = await call_next(request)
        response.headers["x-user"] = ctx.user
        return response

    async def endpoint(request: Any) -> Any:
        assert ctx.user == "of the middleware"
        ctx.user = "of the endpoint"
        return PlainTextResponse("")

    app = of_starlette(Route("/", endpoint), middleware=[Middleware(BaseHTTPMiddleware, dispatch=dispatch)])
    assert (b"x-user", b"of the endpoint") in serve(app, http_scope("/")).sent[0]["headers"]


def test_the_middleware_is_added_to_starlette_as_any_other_and_joins_where_an_app_is_mounted() -> None:
    async def endpoint(request: Any) -> Any:
        return PlainTextResponse(f"{ctx.user} {len(request.scope['tlctx.scopes'])}")

    ours = [Middleware(ContextMiddleware, ctx=ctx, initialize=path_as_user)]
    inner = Starlette(routes=[Route("/notes", endpoint)], middleware=ours)
    mounted = Starlette(routes=[Mount("/api", inner)], middleware=ours)
    assert serve(mounted, http_scope("/api/notes")).body == b"/api/notes 1"
    assert serve(Starlette(routes=[Mount("/api", inner)]), http_scope("/api/notes")).body == b"/api/notes 1"


def test_an_exception_of_a_view_rolls_back_and_one_that_starlette_handles_does_so_where_the_scope_is_told() -> None:
    log: list[Any] = []

    async def fails(request: Any) -> Any:
        ctx.enter_context(Recorder(log))
        raise Boom

    async def handle(request: Any, error: Exception) -> Any:
        scope = Scope.current(ctx)
        assert scope is not None
        scope.fail(error)
        return PlainTextResponse("handled", 418)

    exchange = Exchange(of_starlette(Route("/", fails)), http_scope("/"))

    async def main() -> None:
        with pytest.raises(Boom):
            await exchange

    asyncio.run(main())
    assert exchange.status == 500
    handled = serve(of_starlette(Route("/", fails), exception_handlers={Boom: handle}), http_scope("/"))
    assert handled.status == 418
    assert log == [(Boom, "/"), (Boom, "/")]


def test_a_teardown_that_fails_is_a_500_where_the_request_ends_early(caplog: pytest.LogCaptureFixture) -> None:
    async def endpoint(request: Any) -> Any:
        ctx.callback(raise_boom)
        close_early(ctx)
        return PlainTextResponse("saved")

    ours = [Middleware(ContextMiddleware, ctx=ctx)]
    exchange = Exchange(Starlette(routes=[Route("/", endpoint)], middleware=ours), http_scope("/"))

    async def main() -> None:
        with pytest.raises(Boom):
            await exchange

    asyncio.run(main())
    assert (exchange.status, exchange.body) == (500, b"Internal Server Error")


def test_starlettes_lifespan_has_no_scope_and_one_that_it_opens_is_not_seen_by_requests() -> None:
    log: list[Any] = []

    @contextlib.asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        with pytest.raises(OutsideRequestError):
            ctx.user = "of the lifespan"
        with ctx.scope(user="of the lifespan"):
            yield
            log.append(ctx.user)

    async def endpoint(request: Any) -> Any:
        return PlainTextResponse(ctx.user)

    app = of_starlette(Route("/", endpoint), lifespan=lifespan)

    async def main() -> None:
        stop, started = asyncio.Event(), asyncio.Event()
        messages = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

        async def receive() -> Any:
            message = next(messages)
            if message["type"] == "lifespan.shutdown":
                await stop.wait()
            return message

        async def send(message: Any) -> None:
            log.append(message["type"])
            started.set()

        life = asyncio.create_task(app({"type": "lifespan"}, receive, send))
        await started.wait()
        exchange = Exchange(app, http_scope("/"))
        await exchange
        assert exchange.body == b"/"
        stop.set()
        await life

    asyncio.run(main())
    assert log == ["lifespan.startup.complete", "of the lifespan", "lifespan.shutdown.complete"]
