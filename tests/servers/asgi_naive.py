"""The ASGI middleware that everybody writes first: set on entry, clear after the app. The suite has to see its leaks.

Its values are those of the thread: one dict for all the requests of the event loop, as a global one would be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from servers.naive import NaiveContext


class CarelessAsgiMiddleware:
    """Sets on entry and never clears: whatever the fault is, the suite has to find that."""

    def __init__(self, app: Any, ctx: NaiveContext) -> None:
        self.app = app
        self.ctx = ctx

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            self.ctx.role = "visitor"
        await self.app(scope, receive, send)


class NaiveAsgiMiddleware(CarelessAsgiMiddleware):
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await super().__call__(scope, receive, send)
        self.ctx.clear()
