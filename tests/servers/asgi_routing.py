"""What the routes of the ASGI app under test share: each is a coroutine function of a request."""

from __future__ import annotations

import urllib.parse
from typing import TYPE_CHECKING, Any

import anyio
from servers.state import FLAGS, PATIENCE, still_its_own, use

if TYPE_CHECKING:
    from collections.abc import Callable

ROUTES: dict[str, Callable[[Request], Any]] = {}


class Request:
    """One request, and the ways to answer it."""

    def __init__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scope, self.receive, self.send = scope, receive, send
        query = dict(urllib.parse.parse_qsl(scope["query_string"].decode()))
        self.tag = query.get("tag", "none")

    async def start(self, status: int = 200, **headers: str) -> None:
        fields = {"content-type": "text/plain", **{name.replace("_", "-"): value for name, value in headers.items()}}
        encoded = [(name.encode(), value.encode()) for name, value in fields.items()]
        await self.send({"type": "http.response.start", "status": status, "headers": encoded})

    async def part(self, body: bytes = b"piece ", *, more: bool = True) -> None:
        await self.send({"type": "http.response.body", "body": body, "more_body": more})

    async def pieces(self, number: int, piece: bytes = b"piece ") -> None:
        """Parts between which other requests run, and the end."""
        for _ in range(number):
            still_its_own(self.tag)
            await self.part(piece)
            await anyio.sleep(0)
        still_its_own(self.tag)
        await self.part(b"", more=False)

    async def answer(self, text: str, status: int = 200) -> None:
        length = {} if status == 204 else {"content_length": str(len(text))}
        await self.start(status, **length)
        await self.part(text.encode(), more=False)

    async def wait_for_flag(self) -> None:
        """Wait until the client has set its flag."""
        with anyio.move_on_after(PATIENCE):
            while not (FLAGS / self.tag).exists():
                await anyio.sleep(0.005)


def route(function: Callable[[Request], Any]) -> Callable[[Request], Any]:
    """Serve it under its name, after it has used the context as every request does."""

    async def use_and_serve(request: Request) -> None:
        use(request.tag)
        await function(request)

    ROUTES[function.__name__] = use_and_serve
    return function
