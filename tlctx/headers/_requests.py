"""requests: each adapter of a Session is wrapped.

What an adapter gets is one hop, whatever led to it, and its URL is the one that is connected to. It sends a copy of the
request: the Session makes the next hop from the original, which never has the headers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import requests
from requests.adapters import BaseAdapter

from tlctx.headers._hosts import origin_of

if TYPE_CHECKING:
    from tlctx.headers._outbound import Outbound

__all__ = ["install"]


def install(outbound: Outbound, client: Any) -> bool:
    """Set up `client` if it is a Session; tells whether it is."""
    if not isinstance(client, requests.Session):
        return False
    for prefix, adapter in client.adapters.items():
        if not _is_wrapped(adapter, outbound):
            client.adapters[prefix] = _Adapter(adapter, outbound)  # in its place: `mount` would sort them anew
    return True


def _is_wrapped(adapter: Any, outbound: Outbound) -> bool:
    while isinstance(adapter, _Adapter):
        if adapter.outbound is outbound:
            return True
        adapter = adapter.adapter
    return False


class _Adapter(BaseAdapter):
    """Sends requests by another adapter, with more headers."""

    def __init__(self, adapter: Any, outbound: Outbound) -> None:
        super().__init__()
        self.adapter = adapter
        self.outbound = outbound

    def send(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        headers = self.outbound._headers_to(origin_of(request.url), request.headers)
        if headers:
            request = request.copy()
            request.headers.update(headers)
        return self.adapter.send(request, *args, **kwargs)

    def close(self) -> None:
        self.adapter.close()

    def __getattr__(self, name: str) -> Any:
        if name == "adapter":  # it is being unpickled
            raise AttributeError(name)
        return getattr(self.adapter, name)
