"""For prometheus_client. No other module imports that package.

In multi-process mode a scrape reads what processes have written to files, and calls nothing in them. So these are
metrics that are set, and no collector that is asked; the thread sets them once a second. A scrape of this very process
sets them first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prometheus_client import REGISTRY, Counter, Gauge, Histogram

from tlctx import counters
from tlctx.metrics._requests import DESCRIBED, Ended, Metrics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from prometheus_client import CollectorRegistry

__all__ = ["PrometheusMetrics"]


class PrometheusMetrics(Metrics):
    """The metrics in one registry."""

    def __init__(self, registry: CollectorRegistry | None, overdue_after: float, buckets: Sequence[float]) -> None:
        super().__init__(overdue_after)
        self._registry = REGISTRY if registry is None else registry
        self._registered: list[Any] = []
        try:
            self._register(_Sampler(self))  # which is asked first
            self._make_all(buckets)
        except BaseException:
            self._unregister()
            raise
        self._counted = dict.fromkeys(self._counts, 0)
        self._watch()

    def _make_all(self, buckets: Sequence[float]) -> None:
        labels, live = ("method", "route"), "livesum"  # of all processes that live
        self._requests = self._make(Counter, "tlctx.requests", *labels, "outcome")
        self._durations = self._make(Histogram, "tlctx.request.duration", *labels, unit="seconds", buckets=buckets)
        self._in_flight_now = self._make(Gauge, "tlctx.requests.in_flight", multiprocess_mode=live)
        self._overdue_now = self._make(Gauge, "tlctx.requests.overdue", multiprocess_mode=live)
        self._counts = {name: self._make(Counter, f"tlctx.{name}") for name in counters()._fields}

    def _make(self, kind: Any, name: str, *labels: str, **options: Any) -> Any:
        metric = kind(name.replace(".", "_"), DESCRIBED[name], labels, registry=None, **options)
        self._register(metric)
        return metric

    def _register(self, collector: Any) -> None:
        self._registry.register(collector)
        self._registered.append(collector)

    def _unregister(self) -> None:
        while self._registered:
            self._registry.unregister(self._registered.pop())

    def close(self) -> None:
        super().close()
        self._unregister()

    def _hand_on(self, ended: Ended) -> None:
        self._requests.labels(ended.method, ended.route, ended.outcome).inc()
        self._durations.labels(ended.method, ended.route).observe(ended.seconds)

    def _sample(self) -> None:
        ages = self._ages()
        self._in_flight_now.set(len(ages))
        self._overdue_now.set(sum(age > self._overdue_after for age in ages))
        for name, total in counters()._asdict().items():
            self._counts[name].inc(total - self._counted[name])
            self._counted[name] = total

    def _start_anew(self) -> None:
        super()._start_anew()
        self._counted = counters()._asdict()  # what the parent process has counted is the parent's


class _Sampler:
    """A collector of nothing: a scrape of this process asks it before the metrics."""

    def __init__(self, metrics: PrometheusMetrics) -> None:
        self._metrics = metrics

    def describe(self) -> list[Any]:
        return []

    def collect(self) -> list[Any]:
        self._metrics.flush()
        return []
