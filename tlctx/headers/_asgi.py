"""The ASGI 3 middleware."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import TYPE_CHECKING, Any

from tlctx.headers import _rules

if TYPE_CHECKING:
    from tlctx.headers._config import Headers

__all__ = ["ASGIApp", "ASGIMiddleware"]

ASGIScope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[ASGIScope, Receive, Send], Awaitable[None]]

_STARTS = {"http.response.start", "websocket.accept", "websocket.http.response.start"}


class ASGIMiddleware:
    """An ASGI application around another one: reads the headers of each request or WebSocket, then calls that."""

    def __init__(self, app: ASGIApp, headers: Headers) -> None:
        self.app = app
        self.headers = headers

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        """Serve one request: what the server calls."""
        if scope["type"] in ("http", "websocket"):
            request_id = self.headers._receive(scope, _pick(scope["headers"], self.headers._raw_names))
            if self.headers.echo:
                send = _with_header(send, self.headers.request_id_header.lower().encode(), request_id.encode())
        await self.app(scope, receive, send)


def _pick(headers: Iterable[tuple[bytes, bytes]], names: dict[bytes, str]) -> dict[str, list[str]]:
    """The values of the headers that are asked for. One that is too long is cut where it breaks the limit."""
    found: dict[str, list[str]] = {}
    for raw, value in headers:
        name = names.get(bytes(raw).lower())
        if name is not None:
            found.setdefault(name, []).append(bytes(value[: _rules.LONGEST + 2]).decode("latin-1"))
    return found


def _with_header(send: Send, name: bytes, value: bytes) -> Send:
    """A `send` that adds a header to the response, unless the application has set it."""

    def send_with_header(message: Message) -> Awaitable[None]:
        if message["type"] in _STARTS:
            headers = list(message.get("headers") or ())
            if not any(bytes(other).lower() == name for other, _ in headers):
                message = {**message, "headers": [*headers, (name, value)]}
        return send(message)

    return send_with_header
