"""For OpenTelemetry, by opentelemetry-api. No other module of the metrics imports that package.

What can be read at any time is an observable instrument, which the SDK asks. Requests and durations are handed on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation

from tlctx import counters
from tlctx.metrics._requests import DESCRIBED, Ended, Metrics

__all__ = ["OpenTelemetryMetrics"]


class OpenTelemetryMetrics(Metrics):
    """The metrics, as instruments of one meter."""

    def __init__(self, meter_provider: MeterProvider | None, overdue_after: float, buckets: Sequence[float]) -> None:
        super().__init__(overdue_after)
        meter = metrics.get_meter("tlctx", meter_provider=meter_provider)
        requests = "{request}"
        self._requests = meter.create_counter("tlctx.requests", requests, DESCRIBED["tlctx.requests"])
        self._durations = meter.create_histogram(
            "tlctx.request.duration",
            "s",
            DESCRIBED["tlctx.request.duration"],
            explicit_bucket_boundaries_advisory=buckets,
        )
        self._ask_for(meter.create_observable_up_down_counter, "tlctx.requests.in_flight", self._in_flight, requests)
        self._ask_for(meter.create_observable_up_down_counter, "tlctx.requests.overdue", self._overdue, requests)
        for name in counters()._fields:
            self._ask_for(meter.create_observable_counter, f"tlctx.{name}", partial(_count, name))
        self._watch()

    def _ask_for(self, create: Callable[..., object], name: str, read: Callable[[], int], unit: str = "") -> None:
        def ask(options: CallbackOptions) -> Iterable[Observation]:
            self.flush()  # all of these are asked before the others are collected
            return [Observation(read())]

        create(name, [ask], unit, DESCRIBED[name])

    def _hand_on(self, ended: Ended) -> None:
        attributes = {"method": ended.method, "route": ended.route}
        self._durations.record(ended.seconds, attributes)
        self._requests.add(1, {**attributes, "outcome": ended.outcome})


def _count(name: str) -> int:
    """One of tlctx's own counters."""
    total: int = getattr(counters(), name)
    return total
