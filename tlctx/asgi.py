"""ContextMiddleware for ASGI 3 applications: Starlette, FastAPI, Quart, and any other.

Theory of operation
===================

The requests of an event loop take turns on one thread, so a scope is not bound to it: it is attached to the context
variable that each task has for itself. Tasks that the request starts see it too, and the threads that a framework runs
its plain functions in. So one call of the application is one `with` block of the scope.

Code of the server is none of the request's. Some servers make the task of the next request inside of `send` or
`receive`, and that task would see the scope. So both run with the scope detached. That is left out where a server has
nothing to do but write: the head of the answer, and a part of its body that is not the last.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from tlctx import RequestContext, Scope
from tlctx.lowlevel import DetachedCall, check_context, close_after, close_reporting, take_off

__all__ = ["ContextMiddleware"]

ASGIScope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[ASGIScope, Receive, Send], Awaitable[None]]
Initialize = Callable[[ASGIScope], Mapping[str, Any] | Awaitable[Mapping[str, Any]]]

_KEY = "tlctx.scopes"
_LABELS = {"http": ("method", "path"), "websocket": ("type", "path")}
"""For each type of request the keys of what names it in messages: "GET /notes", "websocket /chat"."""
_HEAD = ("type", "http.response.start")
"""What the message has that begins an answer."""
_PIECES = frozenset(("http.response.body", "http.response.pathsend", "http.response.zerocopysend", "websocket.send"))
"""The types of the messages that are chunks of it."""


class ContextMiddleware:
    """Gives each request of an ASGI application a scope of `ctx`, and ends it with the request, whatever happens.

    A request is an HTTP request or a WebSocket, from the call of the application to its return, background tasks
    included; lifespan passes through. `initialize(scope)`, if given, runs at the start, inside the request's scope, and
    returns the first values, a mapping from names, or something to await for it. Applied twice for one request, the
    inner one joins the outer's scope.

    Under "tlctx.scopes" the ASGI scope has the request's scopes, one for each context; their text names the request and
    holds none of its values.

    Raises TypeError if `app` or `initialize` is not callable or `ctx` is no RequestContext.
    """

    def __init__(self, app: ASGIApp, ctx: RequestContext, initialize: Initialize | None = None) -> None:
        _check_arguments(app, ctx, initialize)
        self.app = app
        self.ctx = ctx
        self.initialize = initialize

    @property
    def initialize(self) -> Initialize | None:
        """What returns the first values of a request."""
        return self._initialize

    @initialize.setter
    def initialize(self, initialize: Initialize | None) -> None:
        self._initialize = initialize
        self._starts_empty = initialize is None and type(self.ctx).__init__ is object.__init__

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        """Serve one request: what the server calls."""
        label = _LABELS.get(scope["type"])
        outer: tuple[Scope, ...] = scope.get(_KEY, ())
        if label is None or (outer and _is_same_request(scope, Scope.current(self.ctx), outer)):
            await self.app(scope, receive, send)
            return
        own = Scope(self.ctx, scope, label)
        try:
            own.attach()
            scope[_KEY] = (*outer, own) if outer else (own,)
            if not self._starts_empty:
                await self._assign_first_values(scope, own)
            answer = DetachedCall(own, send, _HEAD, "more_body", _close_and_send, _PIECES)
            await self.app(scope, DetachedCall(own, receive), answer)
            if not own.close_if_idle():
                close_reporting(own)
        except BaseException as error:
            if not own.ended:
                close_after(error, own)
            raise
        finally:
            take_off(own)

    async def _assign_first_values(self, scope: ASGIScope, own: Scope) -> None:
        own.run_init()
        values: Any = {} if self.initialize is None else self.initialize(scope)
        try:
            if isinstance(values, Awaitable):
                values = await values
            own.update(values)
        finally:
            del values  # so that no traceback shows them


def _check_arguments(app: object, ctx: object, initialize: object) -> None:
    if not callable(app):
        raise TypeError(f"the app must be an ASGI application, a callable, not {type(app).__name__}")
    check_context(ctx)
    if initialize is not None and not callable(initialize):
        raise TypeError(f"initialize must be a function of the ASGI scope, not {type(initialize).__name__}")


def _is_same_request(scope: ASGIScope, current: Scope | None, scopes: tuple[Scope, ...]) -> bool:
    """Whether `scope` is that of the request that is served already, or a copy, and not of one made inside it."""
    if current is None or current not in scopes:
        return False
    outer = current.source
    return scope is outer or (
        scope["type"] == outer["type"]
        and scope.get("method") == outer.get("method")
        and _full_path(scope) == _full_path(outer)
    )


def _full_path(scope: ASGIScope) -> str:
    """The whole path; of an app that is mounted, some frameworks have the rest of it in the scope, others all."""
    root, path = scope.get("root_path", ""), scope["path"]
    return path if path.startswith(root) else f"{root}{path}"


async def _close_and_send(scope: Scope, send: Send, message: Message) -> None:
    """Send the head of an answer, of a request that has called `close_early`."""
    close_reporting(scope)
    await send(message)
