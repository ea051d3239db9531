"""What the tests of headers share: a context, applications that note what they see, and bytes that forge log lines."""

from __future__ import annotations

import contextlib
import importlib
from typing import TYPE_CHECKING, Any, NamedTuple

from werkzeug.test import create_environ, run_wsgi_app

from tlctx import RequestContext, Scope
from tlctx.lowlevel import remove_observer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE_ID}-{SPAN_ID}-01"

FORGED = {
    "LF": "a\nINFO forged line",
    "CR": "a\rINFO forged line",
    "CRLF": "a\r\nINFO forged line",
    "folded": "a\r\n b",
    "NEL": "a\x85INFO",
    "trailing newline": "abc\n",
    "Latin-1": "ab\xe9",
    "Latin-1 digit": "\xb2",
    "NUL": "a\0b",
    "space": "a b",
    "comma": "a,b",
    "empty": "",
    "129": "a" * 129,
    "60 KB": "a" * 60_000,
    "500 KB": "a" * 500_000,
}
"""Request ids as servers have been seen to deliver them, and none of which may be accepted."""


class HeadersCtx(RequestContext):
    request_id: str = "-"
    traceparent: str
    tracestate: str
    baggage: str
    user: str = "nobody"
    tenant: Any = None


class ContextApp:
    """The least ASGI middleware for a context: a scope for each request, as tlctx.asgi makes it."""

    def __init__(self, app: Any, ctx: RequestContext) -> None:
        self.app = app
        self.ctx = ctx

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        with Scope(self.ctx, scope, ("method", "path")) as own:
            scope["tlctx.scopes"] = (*scope.get("tlctx.scopes", ()), own)
            await self.app(scope, receive, send)


@contextlib.contextmanager
def assigner_removed_after() -> Iterator[None]:
    """A block after which the observer is gone that assigns the values of a middleware mounted outside."""
    inbound = importlib.import_module("tlctx.headers._inbound")
    try:
        yield
    finally:
        while inbound._assigners:
            remove_observer(inbound._assigners.pop())


def seen_by(ctx: Any) -> tuple[Callable[..., Any], list[Any]]:
    """An application, and the request ids that it has seen, in the context and in the environ."""
    seen: list[Any] = []

    def app(environ: Any, start_response: Any) -> Any:
        seen.append((ctx.request_id, environ["tlctx.request_id"]))
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"answer"]

    return app, seen


class Answer(NamedTuple):
    status: str
    headers: Any
    text: str


def get_answer(app: Any, request_id: str | None = None, **more: Any) -> Answer:
    """Serve a request as a server does; werkzeug's client would refuse what servers let pass."""
    environ = create_environ("/path")
    if request_id is not None:
        environ["HTTP_X_REQUEST_ID"] = request_id
    body, status, headers = run_wsgi_app(app, environ | more, buffered=True)
    return Answer(status, headers, b"".join(body).decode())
