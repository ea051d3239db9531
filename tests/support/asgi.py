"""ASGI requests in one process, as a server would run them, and applications that note what they see."""

from __future__ import annotations

import asyncio
from typing import Any

import tlctx
from tlctx.asgi import ContextMiddleware

ctx: Any = tlctx.ctx


def http_scope(path: str = "/path", **more: Any) -> dict[str, Any]:
    return {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "path": path,
        "raw_path": path.encode(), "root_path": "", "scheme": "http", "query_string": b"query=s3cret", "headers": [],
        **more,
    }  # fmt: skip


def websocket_scope(path: str = "/chat") -> dict[str, Any]:
    scope = http_scope(path, type="websocket", scheme="ws", subprotocols=[])
    del scope["method"]
    return scope


class Exchange:
    """One request: what the client sends, and what came back, in `sent`. Awaiting it has the app serve the request."""

    def __init__(self, app: Any, scope: Any = None, *received: dict[str, Any]) -> None:
        self.app = app
        self.scope = http_scope() if scope is None else scope
        self.received = [*received] or [{"type": "http.request", "body": b"", "more_body": False}]
        self.sent: list[Any] = []

    async def receive(self) -> Any:
        await asyncio.sleep(0)
        return self.received.pop(0) if self.received else {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        await asyncio.sleep(0)
        self.sent.append(message)

    def __await__(self) -> Any:
        return self.app(self.scope, self.receive, self.send).__await__()

    @property
    def status(self) -> int | None:
        return next((message["status"] for message in self.sent if "status" in message), None)

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)


def serve(app: Any, scope: Any = None, *received: dict[str, Any]) -> Exchange:
    """Have an event loop of its own run one request to its end."""
    exchange = Exchange(app, scope, *received)

    async def main() -> None:
        await exchange

    asyncio.run(main())
    return exchange


def within(app: Any, initialize: Any = None, context: Any = ctx) -> ContextMiddleware:
    """The app inside the middleware."""
    return ContextMiddleware(app, context, initialize)


async def start(send: Any, status: int = 200) -> None:
    await send({"type": "http.response.start", "status": status, "headers": []})


async def answer(send: Any, *parts: bytes) -> None:
    """Send a whole answer."""
    await start(send)
    for part in parts[:-1]:
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": parts[-1] if parts else b""})


async def greet(scope: Any, receive: Any, send: Any) -> None:
    """An app that stores a value and answers with it."""
    ctx.user = "ann"
    await answer(send, b"hello ", ctx.user.encode())


def path_as_user(scope: Any) -> dict[str, str]:
    """First values: the user is the path of the request."""
    return {"user": scope["path"]}


def seen() -> str:
    """The user that is seen here and now."""
    return getattr(ctx, "user", "nothing")
