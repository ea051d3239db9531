"""Request ids in Starlette, whose `add_middleware` makes the middleware itself."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from support.headers import ContextApp, HeadersCtx, assigner_removed_after

from tlctx.headers import Headers

if TYPE_CHECKING:
    from collections.abc import Iterator

httpx = pytest.importorskip("httpx")
pytest.importorskip("starlette")


@pytest.fixture(autouse=True)
def _the_assigner_is_removed() -> Iterator[None]:
    with assigner_removed_after():
        yield


@pytest.mark.parametrize("outermost", ["context", "headers"])
def test_added_before_the_contexts_middleware_or_after_it(outermost: str) -> None:
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Mount, Route

    ctx: Any = HeadersCtx()

    async def endpoint(request: Any) -> Any:
        return PlainTextResponse(ctx.request_id)

    app: Any = Starlette(routes=[Mount("/mounted", routes=[Route("/", endpoint)])])
    headers = Headers(ctx, echo=True)
    adding = [lambda: app.add_middleware(headers.asgi), lambda: app.add_middleware(ContextApp, ctx=ctx)]
    for add in adding if outermost == "context" else reversed(adding):
        add()

    async def get() -> Any:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test", verify=False) as client:
            return await client.get("/mounted/", headers={"X-Request-ID": "abc-1"})

    answer = asyncio.run(get())
    assert (answer.text, answer.headers["X-Request-ID"]) == ("abc-1", "abc-1")
