"""Metrics of requests, for prometheus_client and for OpenTelemetry.

from tlctx import metrics

metrics.prometheus()                                    # in prometheus_client's registry
metrics.opentelemetry()                                 # with the meter provider of opentelemetry-api

Requests, their durations by method and route, those in flight and those overdue; and teardowns that failed, bodies that
were dropped, and scopes that were never left. A request is one of WSGI or ASGI, whatever number of contexts it has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tlctx.metrics._requests import BUCKETS, Metrics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.metrics import MeterProvider
    from prometheus_client import CollectorRegistry

__all__ = ["BUCKETS", "Metrics", "child_exit", "opentelemetry", "prometheus"]


def prometheus(
    registry: CollectorRegistry | None = None, *, overdue_after: float = 30.0, buckets: Sequence[float] = BUCKETS
) -> Metrics:
    """Put the metrics into `registry`, by default prometheus_client's own, and keep them up to date from now on.

    A request older than `overdue_after` seconds is overdue. `buckets` are the bounds of the histogram of durations, in
    seconds. Call it once, also before a server forks. In multi-process mode each process writes its part to
    PROMETHEUS_MULTIPROC_DIR, at most a second late; have the server call `child_exit` where a worker is gone.

    Raises ImportError where prometheus_client is missing, ValueError if the registry has these metrics already.
    """
    try:
        from tlctx.metrics._prometheus import PrometheusMetrics
    except ImportError as error:
        raise _missing("prometheus_client", "metrics") from error
    return PrometheusMetrics(registry, overdue_after, buckets)


def opentelemetry(
    meter_provider: MeterProvider | None = None, *, overdue_after: float = 30.0, buckets: Sequence[float] = BUCKETS
) -> Metrics:
    """Make the metrics with `meter_provider`, by default the global one, and keep them up to date from now on.

    The names are Prometheus' with dots, `tlctx.request.duration` for example. The other arguments are those of
    `prometheus`. Raises ImportError where opentelemetry-api is missing.
    """
    try:
        from tlctx.metrics._opentelemetry import OpenTelemetryMetrics
    except ImportError as error:
        raise _missing("opentelemetry-api", "opentelemetry") from error
    return OpenTelemetryMetrics(meter_provider, overdue_after, buckets)


def child_exit(server: Any, worker: Any) -> None:
    """Forget the gauges of a worker that is gone: gunicorn's hook, for prometheus_client's multi-process mode.

    In `gunicorn.conf.py`: `from tlctx.metrics import child_exit`.
    """
    from prometheus_client import multiprocess

    multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]


def _missing(package: str, extra: str) -> ImportError:
    return ImportError(f'these metrics need {package}: pip install "tlctx[{extra}]"')
