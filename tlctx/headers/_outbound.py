"""Outbound: the headers that a request to an allowed host gets, and how clients come to send them.

A client follows redirects, and takes the headers of the first request along. So what is sent is decided for each hop on
its own, where the client is about to send it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from tlctx import Scope
from tlctx.headers import _counts, _rules
from tlctx.headers._hosts import Hosts, Origin, origin_of

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from tlctx.headers._config import Headers

__all__ = ["Outbound"]

_OF_THE_CONNECTION = {"connection", "content-length", "host", "te", "trailer", "transfer-encoding", "upgrade"}


class Outbound:
    """What requests to some hosts get: made by `Headers.outbound`, and shared by any number of clients."""

    def __init__(
        self,
        headers: Headers,
        to: Any,
        request_id_header: str | None,
        trace: bool,
        baggage: frozenset[str],
        fields: dict[str, str],
    ) -> None:
        _check_fields(fields)
        if baggage and not headers.baggage:
            raise ValueError("baggage is sent on where it is read: Headers(ctx, baggage=True)")
        self._headers = headers
        self._hosts = Hosts(to)
        self._request_id_header = request_id_header
        self._trace = trace
        self._baggage = baggage
        self._fields = fields

    def install(self, client: Any) -> None:
        """Have `client`, a `requests.Session`, an `httpx.Client` or an `httpx.AsyncClient`, send them.

        Each hop of a redirect gets what its own host is allowed. A header that the caller sets stays as it is. Mount
        adapters of a Session before. A second call does nothing. Raises TypeError for any other client.
        """
        # A client of a package can't be there where the package was not imported.
        if "requests" in sys.modules:
            from tlctx.headers import _requests

            if _requests.install(self, client):
                return
        if "httpx" in sys.modules:
            from tlctx.headers import _httpx

            if _httpx.install(self, client):
                return
        raise TypeError(
            f"{type(client).__name__} is no Session of requests and no client of httpx: give its requests what "
            "headers_for(url) returns"
        )

    def headers_for(self, url: str) -> dict[str, str]:
        """The headers for one request to `url`, for any other client; empty if its host is not allowed.

        They are for that URL alone: have the client follow no redirects, or ask again for each hop.
        """
        return self._headers_to(origin_of(url), ())

    def _headers_to(self, origin: Origin | None, there: Container[str]) -> dict[str, str]:
        """The headers for an origin, but those that are there."""
        if origin is None or origin not in self._hosts or Scope.current(self._headers.ctx) is None:
            return {}
        found = {**self._own_fields(), **self._traced(), **self._identified()}
        return {name: value for name, value in found.items() if name not in there}

    def _identified(self) -> dict[str, str]:
        if self._request_id_header is None:
            return {}
        value = self._headers.ctx.get(self._headers.request_id or "", None)
        if _rules.is_request_id(value):
            return {self._request_id_header: value}
        if value is not None:
            _counts.request_ids.add()
        return {}

    def _traced(self) -> dict[str, str]:
        if not (self._trace or self._baggage):
            return {}
        from tlctx.headers import _trace

        received = self._headers._received()
        found: dict[str, str] = {}
        if self._trace:
            found = _trace.current_trace() or _trace.read_trace(
                _one(received, "traceparent"), _one(received, "tracestate")
            )
        if self._baggage:
            members = _trace.allowed_baggage(_one(received, "baggage"), self._baggage)
            if members:
                found["baggage"] = members
        return found

    def _own_fields(self) -> dict[str, str]:
        found = {}
        for field, name in self._fields.items():
            value = self._headers.ctx.get(field, None)
            if type(value) is int:
                value = str(value)
            if isinstance(value, str) and _rules.is_field_value(value):
                found[name] = value
            elif value is not None:
                _counts.fields.add()
        return found


def _one(received: Mapping[str, str], name: str) -> list[str]:
    return [received[name]] if name in received else []


def _check_fields(fields: Mapping[str, str]) -> None:
    for field, name in fields.items():
        if not isinstance(field, str) or not _rules.is_token(name):
            raise ValueError(f"{name!r} can't be the name of a header: fields={{'tenant': 'X-Tenant'}} is right")
        if name.lower() in _OF_THE_CONNECTION:
            raise ValueError(f"the client itself sets the header {name!r}")
