"""traceparent, tracestate and baggage: read as W3C rules, by opentelemetry-api's propagators, and passed on."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest
from support.headers import SPAN_ID, TRACE_ID, TRACEPARENT, ContextApp, HeadersCtx, assigner_removed_after
from support.helpers import start_nothing

from tlctx import ContextMiddleware
from tlctx.headers import HeaderCounters, Headers, counters

if TYPE_CHECKING:
    from collections.abc import Iterator

baggage = pytest.importorskip("opentelemetry.baggage")
trace = pytest.importorskip("opentelemetry.trace")
otel_context = pytest.importorskip("opentelemetry.context")

NAMES = ("traceparent", "tracestate", "baggage")
NOTHING = dict.fromkeys(NAMES)


@pytest.fixture(autouse=True)
def _the_assigner_is_removed() -> Iterator[None]:
    with assigner_removed_after():
        yield


@pytest.fixture(autouse=True)
def _the_propagators_log_nothing(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """They would log a client's bytes, as often as clients like."""
    caplog.set_level(logging.DEBUG)
    yield
    assert caplog.records == []


@pytest.fixture
def ctx() -> Any:
    return HeadersCtx()


@pytest.fixture
def headers(ctx: Any) -> Headers:
    return Headers(ctx, trace=True, baggage=True)


@pytest.fixture(params=["WSGI", "WSGI outside", "ASGI"])
def receive(request: pytest.FixtureRequest, ctx: Any, headers: Headers) -> Any:
    """Serves a request with these headers: what the context then has of them, and what was counted."""

    def receive(*received: tuple[str, str]) -> tuple[dict[str, str | None], HeaderCounters]:
        seen: list[Any] = []
        before = counters()
        if request.param == "ASGI":
            serve_asgi(headers, seen, received)
        else:
            serve_wsgi(headers, seen, received, outside=request.param == "WSGI outside")
        (found,) = seen
        changes = [now - then for now, then in zip(counters(), before, strict=True)]
        return found, HeaderCounters(*changes)

    return receive


def note(headers: Headers, seen: list[Any]) -> None:
    seen.append({name: headers.ctx.get(name, None) for name in NAMES})


def serve_wsgi(headers: Headers, seen: list[Any], received: Any, *, outside: bool) -> None:
    """As gunicorn and waitress do: of repeated headers they make one, with commas."""

    def app(environ: Any, start_response: Any) -> Any:
        note(headers, seen)
        return []

    environ: dict[str, str] = {}
    for name, value in received:
        key = f"HTTP_{name.upper()}"
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    application = (
        headers.wsgi(ContextMiddleware(app, headers.ctx))
        if outside
        else ContextMiddleware(headers.wsgi(app), headers.ctx)
    )
    application(environ, start_nothing)


def serve_asgi(headers: Headers, seen: list[Any], received: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        note(headers, seen)

    raw = [(name.encode(), value.encode("latin-1")) for name, value in received]
    application: Any = ContextApp(headers.asgi(app), headers.ctx)
    asyncio.run(application({"type": "http", "method": "GET", "path": "/", "headers": raw}, None, None))


NO_DROPS = HeaderCounters(0, 0, 0, 0, 0)


def test_without_headers_the_fields_stay_unset_and_nothing_is_counted(receive: Any) -> None:
    assert receive() == (NOTHING, NO_DROPS)


def test_valid_headers_are_fields(receive: Any) -> None:
    found, counted = receive(("traceparent", TRACEPARENT), ("tracestate", "a=1"), ("baggage", "k=v"))
    assert found == {"traceparent": TRACEPARENT, "tracestate": "a=1", "baggage": "k=v"}
    assert counted == NO_DROPS


def parent(
    version: str = "00", trace_id: str = TRACE_ID, span_id: str = SPAN_ID, flags: str = "01", rest: str = ""
) -> str:
    return f"{version}-{trace_id}-{span_id}-{flags}{rest}"


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (parent(), parent()),
        (parent(flags="00"), parent(flags="00")),
        (parent(flags="03"), parent(flags="03")),
        (parent(flags="ff"), parent(flags="03")),  # who does not know a flag sets it to zero
        (f" {parent()}\t", parent()),
        (parent("01"), parent()),  # of a later version the known fields are read, and sent on as the known one
        (parent("cc", rest="-what-the-future-brings"), parent()),
        (parent("cc", rest="-"), parent()),
    ],
)
def test_a_traceparent_of_this_version_or_a_later_one_is_kept_as_one_of_this(
    receive: Any, value: str, kept: str
) -> None:
    assert receive(("traceparent", value)) == (NOTHING | {"traceparent": kept}, NO_DROPS)


@pytest.mark.parametrize(
    "value",
    ["", "0", parent("ff"), parent(rest="-more"), parent(rest="."), parent("cc", rest=".more"),
     parent(trace_id="0" * 32), parent(span_id="0" * 16), parent(trace_id=TRACE_ID.upper()), parent(flags="1"),
     parent(flags="1z"), f"{parent()},{parent()}", f"{parent()}\n", f"{parent()}\r\nX-Admin: 1", f"{parent()}\x85",
     f"{parent()}\xe9", f"{parent('cc')}-{'a' * 60_000}", "a" * 500_000],
)  # fmt: skip
def test_any_other_traceparent_is_dropped_with_its_tracestate_and_counted(receive: Any, value: str) -> None:
    assert receive(("traceparent", value), ("tracestate", "a=1")) == (NOTHING, NO_DROPS._replace(traceparents=1))


def test_a_repeated_traceparent_is_dropped(receive: Any) -> None:
    assert receive(*[("traceparent", TRACEPARENT)] * 2) == (NOTHING, NO_DROPS._replace(traceparents=1))


def test_a_tracestate_alone_is_nothing(receive: Any) -> None:
    assert receive(("tracestate", "a=1")) == (NOTHING, NO_DROPS)


def members(number: int) -> str:
    return ",".join(f"k{place}=v" for place in range(number))


@pytest.mark.parametrize(
    ("values", "kept"),
    [(["a=1, b=2 ,,c=3"], "a=1,b=2,c=3"), (["a=1", "b=2"], "a=1,b=2"), ([""], None), ([members(32)], members(32)),
     ([members(31), "last=1"], f"{members(31)},last=1")],
)  # fmt: skip
def test_a_tracestate_is_kept_in_its_order_over_repeated_headers(
    receive: Any, values: list[str], kept: str | None
) -> None:
    found, counted = receive(("traceparent", TRACEPARENT), *[("tracestate", value) for value in values])
    assert (found, counted) == (NOTHING | {"traceparent": TRACEPARENT, "tracestate": kept}, NO_DROPS)


@pytest.mark.parametrize(
    "values",
    [[members(33)], [members(32), "last=1"], ["a=1", "a=2"], ["a"], ["A=1"], ["a=1\n"], ["a=1\r\nb"], ["a=\x85"],
     ["a=\xe9"], ["a=" + "x" * 60_000], ["a=1," * 125_000]],
)  # fmt: skip
def test_an_invalid_tracestate_is_dropped_alone_and_counted(receive: Any, values: list[str]) -> None:
    found, counted = receive(("traceparent", TRACEPARENT), *[("tracestate", value) for value in values])
    assert (found, counted) == (NOTHING | {"traceparent": TRACEPARENT}, NO_DROPS._replace(tracestates=1))


def test_baggage_is_kept_as_it_came_over_repeated_headers(receive: Any) -> None:
    found, counted = receive(("baggage", "a=%20x;p=1, b = 2"), ("baggage", "c=+"))
    assert (found, counted) == (NOTHING | {"baggage": "a=%20x;p=1,b = 2,c=+"}, NO_DROPS)


@pytest.mark.parametrize(
    ("values", "kept"),
    [([members(65)], members(64)), ([members(64), "last=1"], members(64)), (["a=1", "b=" + "x" * 60_000], "a=1"),
     (["a=1," + "x" * 500_000], "a=1"), (["a=1,b=\x85,c=3"], "a=1,c=3"), (["a=1,b=\xe9"], "a=1"),
     (["a=1,b=2\n"], "a=1"), (["b=2\r\nX-Admin: 1", "c=3"], "c=3"), (["nonsense"], None)],
)  # fmt: skip
def test_what_breaks_a_rule_or_a_limit_of_baggage_is_dropped_and_counted_once(
    receive: Any, values: list[str], kept: str | None
) -> None:
    found, counted = receive(*[("baggage", value) for value in values])
    assert (found, counted) == (NOTHING | {"baggage": kept}, NO_DROPS._replace(baggage=1))


def test_what_is_not_asked_for_is_not_read(ctx: Any) -> None:
    seen: list[Any] = []
    everything = [("traceparent", TRACEPARENT), ("tracestate", "a=1"), ("baggage", "k=v")]
    for headers in (Headers(ctx), Headers(ctx, trace=True), Headers(ctx, baggage=True)):
        serve_wsgi(headers, seen, everything, outside=False)
    assert [[name for name in NAMES if found[name]] for found in seen] == [
        [],
        ["traceparent", "tracestate"],
        ["baggage"],
    ]


def test_the_context_is_the_parent_of_a_span(ctx: Any, headers: Headers) -> None:
    with ctx.scope(traceparent=TRACEPARENT, tracestate="a=1", baggage="k=%20v;p=1,l=2"):
        context = headers.context()
    span = trace.get_current_span(context).get_span_context()
    assert (span.trace_id, span.span_id, span.is_remote) == (int(TRACE_ID, 16), int(SPAN_ID, 16), True)
    assert dict(span.trace_state) == {"a": "1"}
    assert dict(baggage.get_all(context)) == {"k": "v", "l": "2"}
    outside = headers.context()
    assert not trace.get_current_span(outside).get_span_context().is_valid
    assert not baggage.get_all(outside)


def test_a_current_span_of_opentelemetry_is_sent_in_place_of_the_one_that_came(ctx: Any, headers: Headers) -> None:
    own = trace.SpanContext(1, 2, is_remote=False, trace_flags=trace.TraceFlags(1))
    outbound = headers.outbound(to=["a.b"], request_id=False)
    with ctx.scope(traceparent=TRACEPARENT, tracestate="a=1"):
        with trace.use_span(trace.NonRecordingSpan(own)):
            sent = outbound.headers_for("http://a.b")
        assert sent == {"traceparent": f"00-{1:032x}-{2:016x}-01"}
        assert outbound.headers_for("http://a.b") == {"traceparent": TRACEPARENT, "tracestate": "a=1"}


def test_baggage_that_code_sets_in_opentelemetry_is_sent_if_its_key_is_allowed(ctx: Any, headers: Headers) -> None:
    outbound = headers.outbound(to=["a.b"], request_id=False, trace=False, baggage=["a", "b"])
    with ctx.scope(baggage="a=old,b=2,c=3"):
        set_since = baggage.set_baggage("a", "n\u00e4w,", baggage.set_baggage("secret", "s3cret"))
        token = otel_context.attach(set_since)
        try:
            sent = outbound.headers_for("http://a.b")
        finally:
            otel_context.detach(token)
    assert sent == {"baggage": "b=2,a=n%C3%A4w%2C"}
