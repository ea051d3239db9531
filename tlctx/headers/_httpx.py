"""httpx: a hook that its clients call for each hop, as they are about to send it.

The client makes the next hop from the request of this one, with its headers. So the hook notes in the request's
extensions, which are handed on too, what it has added, and first takes that out again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx

from tlctx.headers._hosts import Origin

if TYPE_CHECKING:
    from tlctx.headers._outbound import Outbound

__all__ = ["install"]

_KEY = "tlctx.headers"


def install(outbound: Outbound, client: Any) -> bool:
    """Set up `client` if it is one of httpx; tells whether it is."""
    if isinstance(client, httpx.Client):
        hook = _Hook(outbound)
    elif isinstance(client, httpx.AsyncClient):
        hook = _AsyncHook(outbound)
    else:
        return False
    hooks = client.event_hooks["request"]
    if not any(isinstance(other, _Hook) and other.outbound is outbound for other in hooks):
        hooks.append(hook)
    return True


class _Hook:
    """Gives a request the headers that its host is allowed, and takes those of an earlier hop from it."""

    def __init__(self, outbound: Outbound) -> None:
        self.outbound = outbound

    def __call__(self, request: httpx.Request) -> Any:
        self._set_headers(request)

    def _set_headers(self, request: httpx.Request) -> None:
        added: dict[Any, dict[str, str]] = dict(request.extensions.get(_KEY, ()))
        for name, value in added.pop(self.outbound, {}).items():
            if request.headers.get(name) == value:
                del request.headers[name]
        headers = self.outbound._headers_to(_origin_of(request.url), request.headers)
        request.headers.update(headers)
        if headers or _KEY in request.extensions:
            request.extensions = {**request.extensions, _KEY: {**added, self.outbound: headers}}


class _AsyncHook(_Hook):
    async def __call__(self, request: httpx.Request) -> None:
        self._set_headers(request)


def _origin_of(url: httpx.URL) -> Origin | None:
    ports = {"http": 80, "https": 443}
    if url.scheme not in ports:
        return None
    return Origin(url.scheme, url.raw_host.decode("ascii").lower(), url.port or ports[url.scheme])
