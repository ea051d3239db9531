"""Headers: which headers of a request are read, and into which fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tlctx import RequestContext
from tlctx.headers import _counts, _rules
from tlctx.headers._asgi import ASGIMiddleware
from tlctx.headers._inbound import deliver, request_id_in
from tlctx.headers._outbound import Outbound
from tlctx.headers._wsgi import WSGIMiddleware
from tlctx.lowlevel import check_context, check_field

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, MutableMapping

    from _typeshed.wsgi import WSGIApplication
    from opentelemetry.context import Context

    from tlctx.headers._asgi import ASGIApp

__all__ = ["Headers"]


class Headers:
    """Reads the headers of each request into fields of `ctx`, and sends on what you allow.

    `request_id` names the field of the request id, or is None. The id is that of the header `request_id_header` if that
    has 1 to 128 of the characters A-Z, a-z, 0-9, dot, hyphen and underscore; else a new one. `echo=True` adds it to the
    response. In the WSGI environ, or the ASGI scope, it is under "tlctx.request_id".

    `trace=True` assigns valid W3C headers to the fields `traceparent` and `tracestate`, and `baggage=True` the valid
    members of that to `baggage`. Each is a text; what is missing or invalid leaves its field as it was. Both need
    opentelemetry-api, which the extra `headers` has.

    What breaks a rule or a limit is dropped and counted, and is never an error: see `counters`.

    Raises TypeError if `ctx` is no RequestContext, AttributeError if it can't have one of the fields, ValueError if
    `request_id_header` can't be the name of a header, ImportError where opentelemetry-api is needed and missing.
    """

    def __init__(
        self,
        ctx: RequestContext,
        request_id: str | None = "request_id",
        *,
        request_id_header: str = "X-Request-ID",
        echo: bool = False,
        trace: bool = False,
        baggage: bool = False,
    ) -> None:
        check_context(ctx)
        if not _rules.is_token(request_id_header):
            raise ValueError(f"{request_id_header!r} can't be the name of a header")
        self.ctx = ctx
        self.request_id = request_id
        self.request_id_header = request_id_header
        self.echo = echo
        self.trace = trace
        self.baggage = baggage
        for field in self._fields():
            check_field(ctx, field)
        self._propagators = _propagators() if trace or baggage else None
        names = [request_id_header.lower(), *self._fields()[request_id is not None :]]
        self._environ_keys = [(name, f"HTTP_{name.upper().replace('-', '_')}") for name in names]
        self._raw_names = {name.encode(): name for name in names}

    def wsgi(self, app: WSGIApplication) -> WSGIMiddleware:
        """A WSGI application around `app`; inside of the ContextMiddleware, or outside of it."""
        return WSGIMiddleware(_check_callable(app), self)

    def asgi(self, app: ASGIApp) -> ASGIMiddleware:
        """An ASGI application around `app`; inside of the ContextMiddleware, or outside of it."""
        return ASGIMiddleware(_check_callable(app), self)

    def outbound(
        self,
        to: Iterable[str],
        *,
        fields: Mapping[str, str] | None = None,
        request_id: bool = True,
        trace: bool = True,
        baggage: Iterable[str] = (),
    ) -> Outbound:
        """What requests to the hosts `to` get, and no other requests: for clients of requests and httpx.

        Each of `to` is a host ("orders.internal"), one with a port ("localhost:8080"), all below one
        ("*.svc.internal"), or an origin ("https://orders.internal"). The request id and the trace are sent on, if they
        are read at all and not switched off here; of the baggage the members with the keys `baggage`; and each field
        that is named in `fields`, in the header that is given there.

        Raises TypeError or ValueError if these can't be what they should be.
        """
        sends_id = self.request_id_header if request_id and self.request_id else None
        return Outbound(self, to, sends_id, trace and self.trace, frozenset(_names(baggage)), dict(fields or {}))

    def context(self) -> Context:
        """What came with the current request, as OpenTelemetry's context: the parent of a span, for example.

        Raises RuntimeError unless `trace` or `baggage` is read.
        """
        if self._propagators is None:
            raise RuntimeError("only trace=True or baggage=True reads what an OpenTelemetry context is made from")
        context: Context = self._propagators.context_of(self._received())
        return context

    def _received(self) -> dict[str, str]:
        """The trace and the baggage of the current request by the names of their headers; empty outside a request."""
        found = {name: self.ctx.get(name, None) for name in self._fields()[self.request_id is not None :]}
        return {name: value for name, value in found.items() if isinstance(value, str)}

    def _receive(self, source: MutableMapping[str, Any], received: Mapping[str, Collection[str]]) -> str:
        """Read the headers of the request of `source`, an environ or an ASGI scope. Returns the request id."""
        request_id = request_id_in(source) or _request_id_of(received.get(self.request_id_header.lower(), ()))
        values: dict[str, str] = {} if self.request_id is None else {self.request_id: request_id}
        if self._propagators is not None:
            if self.trace:
                values |= self._propagators.read_trace(received.get("traceparent", ()), received.get("tracestate", ()))
            if self.baggage and (members := self._propagators.read_baggage(received.get("baggage", ()))):
                values["baggage"] = members
        deliver(source, self.ctx, values, request_id)
        return request_id

    def _fields(self) -> list[str]:
        """The fields that are assigned; the request id comes first, the others have the names of their headers."""
        request_id = [] if self.request_id is None else [self.request_id]
        return request_id + ["traceparent", "tracestate"] * self.trace + ["baggage"] * self.baggage


def _request_id_of(values: Collection[str]) -> str:
    """The one valid id, or a new one."""
    for value in values if len(values) == 1 else ():
        if _rules.is_request_id(value):
            return value
    if values:
        _counts.request_ids.add()
    return _rules.new_request_id()


def _propagators() -> Any:
    try:
        from tlctx.headers import _trace
    except ImportError as error:
        raise ImportError('trace and baggage need opentelemetry-api: pip install "tlctx[headers]"') from error
    return _trace


def _check_callable(app: Any) -> Any:
    if not callable(app):
        raise TypeError(f"the app must be an application, a callable, not {type(app).__name__}")
    return app


def _names(names: Iterable[str]) -> list[str]:
    found = [] if isinstance(names, str) else list(names)
    if isinstance(names, str) or not all(_rules.is_token(name) for name in found):
        raise ValueError("baggage takes the keys of members that may be sent on, as a list of texts")
    return found
