"""The metrics as OpenTelemetry's: what the SDK's reader finds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from support.helpers import PATIENCE, Boom, start_nothing
from support.requests import REQUEST, ctx, hello, stream

import tlctx
from tlctx import ContextMiddleware, metrics
from tlctx.metrics._requests import DESCRIBED

pytest.importorskip("opentelemetry.sdk", reason="needs opentelemetry-sdk")

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader


@pytest.fixture
def reader() -> Iterator[InMemoryMetricReader]:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    made = metrics.opentelemetry(provider, overdue_after=-1.0, buckets=(1.0, PATIENCE))
    yield reader
    made.close()
    provider.shutdown()


def read(reader: InMemoryMetricReader) -> dict[str, Any]:
    """The metrics by name."""
    data = reader.get_metrics_data()
    return {
        metric.name: metric
        for resource in (data.resource_metrics if data else ())
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }


def points(metric: Any) -> dict[tuple[Any, ...], Any]:
    """The points of a metric by the attributes' values."""
    return {tuple(point.attributes.values()): point for point in metric.data.data_points}


def values(reader: InMemoryMetricReader, name: str) -> dict[tuple[Any, ...], float]:
    return {attributes: point.value for attributes, point in points(read(reader)[name]).items()}


def request(app: Any, **environ: Any) -> Any:
    return ContextMiddleware(app, ctx)({**REQUEST, **environ}, start_nothing)


def test_a_reader_finds_what_has_happened_until_then(reader: InMemoryMetricReader) -> None:
    def fail(environ: Any, start_response: Any) -> Any:
        raise Boom

    request(hello, **{"tlctx.route": "/notes/<id>"})
    with pytest.raises(Boom):
        request(fail)
    body = request(stream(b"a"), REQUEST_METHOD="POST")
    assert values(reader, "tlctx.requests") == {("GET", "/notes/<id>", "ok"): 1, ("GET", "", "error"): 1}
    durations = points(read(reader)["tlctx.request.duration"])
    assert {attributes: point.count for attributes, point in durations.items()} == {
        ("GET", "/notes/<id>"): 1, ("GET", ""): 1,
    }  # fmt: skip
    assert durations["GET", ""].explicit_bounds == (1.0, PATIENCE)
    assert values(reader, "tlctx.requests.in_flight") == values(reader, "tlctx.requests.overdue") == {(): 1}
    body.close()
    assert values(reader, "tlctx.requests")["POST", "", "ok"] == 1
    assert values(reader, "tlctx.requests.in_flight") == values(reader, "tlctx.requests.overdue") == {(): 0}


def test_what_did_not_end_as_it_should_is_counted(reader: InMemoryMetricReader) -> None:
    def failing(environ: Any, start_response: Any) -> Any:
        ctx.callback(int, "no number")
        return []

    with pytest.raises(ValueError, match="no number"):
        request(failing)
    for name, total in tlctx.counters()._asdict().items():
        assert values(reader, f"tlctx.{name}") == {(): total}
    assert values(reader, "tlctx.failed_teardowns")[()] > 0


def test_the_instruments_are_those_that_are_described(reader: InMemoryMetricReader) -> None:
    request(hello)
    found = read(reader)
    assert {name: metric.description for name, metric in found.items()} == DESCRIBED
    units = {name: metric.unit for name, metric in found.items() if metric.unit}
    assert units == {
        "tlctx.request.duration": "s", "tlctx.requests": "{request}", "tlctx.requests.in_flight": "{request}",
        "tlctx.requests.overdue": "{request}",
    }  # fmt: skip


def test_once_closed_it_counts_no_more(reader: InMemoryMetricReader) -> None:
    other = InMemoryMetricReader()
    provider = MeterProvider([other])
    made = metrics.opentelemetry(provider)
    request(hello)
    made.close()
    request(hello)
    assert values(other, "tlctx.requests") == {("GET", "", "ok"): 1}
    assert values(reader, "tlctx.requests") == {("GET", "", "ok"): 2}
    provider.shutdown()


def test_without_an_sdk_it_does_no_harm() -> None:
    made = metrics.opentelemetry()
    request(hello)
    made.flush()
    made.close()
