"""Django under WSGI: its async views see the scope of their request.

Under ASGI there is nothing to add: `tlctx.asgi.ContextMiddleware` serves the whole application.
"""

from __future__ import annotations

import weakref
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from asgiref.sync import iscoroutinefunction

from tlctx._routes import DJANGO, ROUTE, observers, route_of
from tlctx.lowlevel import propagate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from tlctx import Scope

__all__ = ["AsyncViewMiddleware"]


def AsyncViewMiddleware(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Lets async views, and whatever `async_to_sync` calls, see the scopes of their request.

    Put "tlctx.django.AsyncViewMiddleware" first into MIDDLEWARE, and a ContextMiddleware for each context around
    Django's WSGI application. Tasks, `asyncio.to_thread`, `sync_to_async` and an async iterator that a
    StreamingHttpResponse is made of see the scopes too. Metrics learn the route of the request's view from it.
    """
    if iscoroutinefunction(get_response):  # under ASGI
        return get_response

    def middleware(request: Any) -> Any:
        scopes: tuple[Scope, ...] = request.META.get("tlctx.scopes", ())
        request.META[DJANGO] = weakref.ref(request)
        with _propagated(scopes):
            response = get_response(request)
        if observers and (route := route_of(request.META)):
            request.META[ROUTE] = route  # the request is gone before its scope ends
        if getattr(response, "is_async", False):
            response.streaming_content = _stream(response.streaming_content, scopes)
        return response

    return middleware


AsyncViewMiddleware.sync_capable = AsyncViewMiddleware.async_capable = True  # type: ignore[attr-defined]


@contextmanager
def _propagated(scopes: tuple[Scope, ...]) -> Iterator[None]:
    with ExitStack() as stack:
        for scope in scopes:
            stack.enter_context(propagate(scope))
        yield


async def _stream(content: AsyncIterator[bytes], scopes: tuple[Scope, ...]) -> AsyncIterator[bytes]:
    """Yield what `content` does; Django collects it on an event loop that it starts for that, after the middleware."""
    with _propagated(scopes):
        async for chunk in content:
            yield chunk
