"""The view as an ASGI application. What it asks other processes it asks from a thread: the event loop goes on."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from functools import partial
from typing import TYPE_CHECKING, Any

from tlctx.inspector._answers import Answer, answer, forbidden, unauthorized

if TYPE_CHECKING:
    from tlctx.inspector._inspector import Inspector

__all__ = ["serve"]

Messages = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


async def serve(inspector: Inspector, scope: MutableMapping[str, Any], receive: Messages, send: Send) -> None:
    """Answer a request for the view. A WebSocket is refused."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1000})
        return
    if scope["type"] != "http":
        return
    inspector._recorder.forget(scope.get("tlctx.scopes", ()))
    found = await _refusal(inspector, scope)
    if found is None:
        root, path = scope.get("root_path", ""), scope["path"]
        below = path[len(root) :] if f"{path}/".startswith(f"{root}/") else path
        query = scope.get("query_string", b"").decode("latin-1")
        found = await _in_thread(partial(answer, inspector, scope["method"], root, below, query))
    headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in found.headers]
    await send({"type": "http.response.start", "status": int(found.status[:3]), "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else found.body})


async def _refusal(inspector: Inspector, scope: MutableMapping[str, Any]) -> Answer | None:
    if inspector._access.authorize is not None:
        allowed: Any = inspector._access.authorize(scope)
        if isinstance(allowed, Awaitable):
            allowed = await allowed
        return None if allowed is True else forbidden()
    given = [value for name, value in scope["headers"] if name == b"authorization"]
    return None if len(given) == 1 and inspector._access.allows(given[0]) else unauthorized()


async def _in_thread(function: Callable[[], Answer]) -> Answer:
    try:
        asyncio.get_running_loop()
    except RuntimeError:  # it is another event loop: trio's, or one that nobody knows
        trio: Any = sys.modules.get("trio")
        return function() if trio is None else await trio.to_thread.run_sync(function)
    return await asyncio.to_thread(function)
