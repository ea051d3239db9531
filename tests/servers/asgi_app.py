"""The ASGI app under test, as servers serve it: the routes of `asgi_routes` inside the middleware that is tested."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from servers import state
from servers.asgi_naive import CarelessAsgiMiddleware, NaiveAsgiMiddleware
from servers.asgi_routes import add_app_in_view, serve
from servers.asgi_routing import Request
from servers.state import ctx, event

from tlctx.asgi import ContextMiddleware

if TYPE_CHECKING:
    from collections.abc import Callable

MIDDLEWARES: dict[str, Callable[..., Any]] = {
    "tlctx": ContextMiddleware,
    "naive": NaiveAsgiMiddleware,
    "careless": CarelessAsgiMiddleware,
}
Middleware = MIDDLEWARES[os.environ["FAULTS_MIDDLEWARE"]]
served = Middleware(serve, ctx)
applied_twice = Middleware(served, ctx)
add_app_in_view(served)


async def application(scope: Any, receive: Any, send: Any) -> None:
    """What the server calls."""
    if scope["type"] == "lifespan":
        await served(scope, receive, send)
        return
    scope["faults.outside"] = state.visible()
    if scope["path"] == "/start_afresh":
        if not state.tlctx_serves:
            ctx.start_afresh()
        await Request(scope, receive, send).answer("", 204)
        return
    app = served
    if scope["path"] == "/applied_twice":
        app, scope["path"] = applied_twice, "/stream"
    try:
        await app(scope, receive, send)
    finally:
        if state.tlctx_serves and state.visible():
            event("foreign", Request(scope, receive, send).tag, "outside of the middleware")
