"""Which values are sent on, how they are checked, and how clients and hosts are set up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.headers import TRACEPARENT, HeadersCtx
from support.wire import Wire, recording

from tlctx import RequestContext, per_request
from tlctx.headers import Headers, counters

if TYPE_CHECKING:
    from collections.abc import Iterator

requests = pytest.importorskip("requests")
pytest.importorskip("httpx")
pytest.importorskip("opentelemetry.baggage")
from support.clients import of_requests  # noqa: E402


@pytest.fixture
def ctx() -> Any:
    return HeadersCtx()


@pytest.fixture
def headers(ctx: Any) -> Headers:
    return Headers(ctx, trace=True, baggage=True)


@pytest.fixture
def allowed() -> Iterator[Wire]:
    with recording() as wire:
        yield wire


@pytest.mark.parametrize(
    ("value", "sent"),
    [("acme", "acme"), (7, "7"), ("a b", "a b"), (None, None), (True, None), (["a"], None), ("", None),
     ("Zo\xeb", None), ("a\r\nX-Admin: 1", None), ("a\n", None), (" a", None), ("a\x85", None),
     ("x" * 8193, None), (1.5, None)],
)  # fmt: skip
def test_a_field_is_sent_if_it_can_be_a_headers_value_and_is_else_dropped_and_counted(
    ctx: Any, headers: Headers, allowed: Wire, value: Any, sent: str | None
) -> None:
    before = counters()
    with ctx.scope(tenant=value):
        of_requests(headers.outbound(to=[allowed.host], fields={"tenant": "X-Tenant"}))(allowed.url)
    assert allowed.headers().get("x-tenant") == sent
    assert b"X-Admin" not in allowed.requests[0]
    assert counters().fields - before.fields == (sent is None and value is not None)


@pytest.mark.parametrize("value", ["a\r\nX-Admin: 1", 7, "a" * 129])
def test_a_request_id_that_code_has_assigned_is_checked_as_well(ctx: Any, headers: Headers, value: Any) -> None:
    before = counters()
    with ctx.scope(request_id=value):
        assert headers.outbound(to=["a.b"]).headers_for("http://a.b") == {}
    assert counters().request_ids == before.request_ids + 1


def test_a_trace_and_a_baggage_that_code_has_assigned_are_checked_as_well(ctx: Any, headers: Headers) -> None:
    outbound = headers.outbound(to=["a.b"], baggage=["a"], request_id=False)
    with ctx.scope(traceparent=f"{TRACEPARENT}\r\nX-Admin: 1", tracestate="a=1\r\nb", baggage="a=1\r\nX-Admin: 1"):
        assert outbound.headers_for("http://a.b") == {}
    with ctx.scope(traceparent=TRACEPARENT, tracestate="a=1\r\nb", baggage="a=1,b=2"):
        assert outbound.headers_for("http://a.b") == {"traceparent": TRACEPARENT, "baggage": "a=1"}
    with ctx.scope(traceparent=7, baggage=[1]):
        assert outbound.headers_for("http://a.b") == {}


def test_any_other_client_gets_them_by_url(ctx: Any, headers: Headers) -> None:
    outbound = headers.outbound(to=["orders.internal"], trace=False)
    with ctx.scope(request_id="abc-1"):
        assert outbound.headers_for("https://orders.internal/a") == {"X-Request-ID": "abc-1"}
        assert outbound.headers_for("https://orders.internal.evil.example/a") == {}
    assert outbound.headers_for("https://orders.internal/a") == {}
    with pytest.raises(TypeError, match=r"is no Session of requests and no client of httpx: .* headers_for\(url\)"):
        outbound.install(object())


def test_a_per_request_value_is_not_made_to_be_sent() -> None:
    class Ctx(RequestContext):
        @per_request
        def tenant(self) -> str:
            return "made"

    ctx: Any = Ctx()
    outbound = Headers(ctx).outbound(to=["a.b"], fields={"tenant": "X-Tenant"}, request_id=False)
    with ctx.scope():
        assert outbound.headers_for("http://a.b") == {}
        assert ctx.tenant == "made"
        assert outbound.headers_for("http://a.b") == {"X-Tenant": "made"}


def test_a_session_keeps_its_adapters_and_sends_by_them(ctx: Any, headers: Headers, allowed: Wire) -> None:
    session = requests.Session()
    adapter = requests.adapters.HTTPAdapter(max_retries=3)
    session.mount("http://", adapter)
    order = list(session.adapters)
    outbound = headers.outbound(to=[allowed.host])
    outbound.install(session)
    wrapped = session.get_adapter(allowed.url)
    outbound.install(session)
    assert session.get_adapter(allowed.url) is wrapped
    assert list(session.adapters) == order
    assert wrapped.max_retries is adapter.max_retries
    with ctx.scope(request_id="abc-1"), session:
        prepared = session.prepare_request(requests.Request("GET", allowed.url))
        answer = session.send(prepared)
    assert "X-Request-ID" not in prepared.headers
    assert answer.request.headers["X-Request-ID"] == "abc-1"


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"to": "orders.internal"}, TypeError, "a list of hosts"),
        ({"to": ["*"]}, ValueError, "is no host"),
        ({"to": [], "fields": {"tenant": "X Tenant"}}, ValueError, "can't be the name of a header"),
        ({"to": [], "fields": {"tenant": "Host"}}, ValueError, "the client itself sets the header 'Host'"),
        ({"to": [], "fields": {1: "X-Tenant"}}, ValueError, "is right"),
        ({"to": [], "baggage": "region"}, ValueError, "as a list"),
        ({"to": [], "baggage": ["a b"]}, ValueError, "as a list"),
    ],
)
def test_what_is_wrong_is_said_when_it_is_set_up(
    headers: Headers, options: Any, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        headers.outbound(**options)


def test_baggage_that_is_not_read_can_not_be_sent_on(ctx: Any) -> None:
    with pytest.raises(ValueError, match="baggage is sent on where it is read"):
        Headers(ctx).outbound(to=[], baggage=["region"])
