"""The metrics in prometheus_client's registries, and in its multi-process mode under gunicorn."""

from __future__ import annotations

import concurrent.futures
import contextlib
import http.client
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.helpers import PATIENCE, Boom, start_nothing
from support.processes import free_port, get, running
from support.requests import REQUEST, ctx, hello, stream

import tlctx
from tlctx import ContextMiddleware, metrics

prometheus_client = pytest.importorskip("prometheus_client", reason="needs prometheus_client")
Registry = prometheus_client.CollectorRegistry
GET = {"method": "GET", "route": ""}


@pytest.fixture
def registry() -> Any:
    return Registry()


@pytest.fixture
def watching(registry: Any) -> Iterator[None]:
    made = metrics.prometheus(registry, overdue_after=-1.0, buckets=(1.0, PATIENCE))
    yield
    made.close()


def values(registry: Any) -> dict[str, dict[tuple[str, ...], float]]:
    """What a scrape finds: for each name the values by the labels' values."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for metric in registry.collect():
        for sample in metric.samples:
            if not sample.name.endswith("_created"):
                found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


def request(app: Any, **environ: Any) -> Any:
    return ContextMiddleware(app, ctx)({**REQUEST, **environ}, start_nothing)


@pytest.mark.usefixtures("watching")
def test_a_scrape_finds_what_has_happened_until_then(registry: Any) -> None:
    def fail(environ: Any, start_response: Any) -> Any:
        raise Boom

    before = tlctx.counters()
    request(hello, **{"tlctx.route": "/notes/<id>"})
    with pytest.raises(Boom):
        request(fail)
    body = request(stream(b"a"), REQUEST_METHOD="POST")
    found = values(registry)
    assert found["tlctx_requests_total"] == {("GET", "/notes/<id>", "ok"): 1, ("GET", "", "error"): 1}
    assert found["tlctx_request_duration_seconds_count"] == {("GET", "/notes/<id>"): 1, ("GET", ""): 1}
    assert found["tlctx_request_duration_seconds_bucket"]["GET", "", "+Inf"] == 1
    assert found["tlctx_requests_in_flight"] == found["tlctx_requests_overdue"] == {(): 1}
    body.close()
    found = values(registry)
    assert found["tlctx_requests_total"]["POST", "", "ok"] == 1
    assert found["tlctx_requests_in_flight"] == found["tlctx_requests_overdue"] == {(): 0}
    assert found["tlctx_dropped_bodies_total"][()] == before.dropped_bodies


@pytest.mark.usefixtures("watching")
def test_what_did_not_end_as_it_should_is_counted(registry: Any) -> None:
    def failing(environ: Any, start_response: Any) -> Any:
        ctx.callback(int, "no number")
        return []

    names = ("failed_teardowns", "dropped_bodies", "unleft_scopes")
    before = {name: values(registry)[f"tlctx_{name}_total"][()] for name in names}
    with pytest.raises(ValueError, match="no number"):
        request(failing)
    body = request(stream(b"a", b"b"))
    next(body)
    del body
    request(lambda environ, start_response: [ctx.scope().__enter__() and b""])
    after = {name: values(registry)[f"tlctx_{name}_total"][()] for name in names}
    assert after == {name: count + 1 for name, count in before.items()}


def test_a_closed_one_leaves_the_registry_and_another_takes_its_place(registry: Any) -> None:
    first = metrics.prometheus(registry)
    request(hello)
    first.close()
    request(hello)
    assert values(registry) == {}
    second = metrics.prometheus(registry)
    assert values(registry)["tlctx_requests_in_flight"] == {(): 0}
    second.close()


def test_a_second_one_in_a_registry_is_refused_and_leaves_nothing_there(registry: Any) -> None:
    first = metrics.prometheus(registry)
    with pytest.raises(ValueError, match="Duplicated timeseries"):
        metrics.prometheus(registry)
    first.close()
    clash = prometheus_client.Counter("tlctx_unleft_scopes", "Somebody else's.", registry=registry)
    with pytest.raises(ValueError, match="Duplicated timeseries"):
        metrics.prometheus(registry)
    registry.unregister(clash)
    assert values(registry) == {}
    metrics.prometheus(registry).close()


def test_the_default_registry_is_that_of_the_package() -> None:
    made = metrics.prometheus()
    assert b"tlctx_requests_in_flight 0.0" in prometheus_client.generate_latest()
    made.close()
    assert b"tlctx" not in prometheus_client.generate_latest()


APP = """
import os, threading, time
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from tlctx import ContextMiddleware, ctx, metrics

metrics.prometheus(overdue_after=0.0)

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    if environ["PATH_INFO"] == "/stuck":
        return stuck()
    return [str(os.getpid()).encode()]

def stuck():
    yield str(os.getpid()).encode()
    threading.Event().wait()

def application(environ, start_response):
    if environ["PATH_INFO"] != "/metrics":
        return served(environ, start_response)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [generate_latest(MultiProcessCollector(None))]

served = ContextMiddleware(app, ctx)
"""


def scraped(port: int) -> dict[str, float]:
    """The samples of one scrape, by name and labels as they are written."""
    lines = get(port, "/metrics")[2].decode().splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")}


def wait_until(port: int, expected: dict[str, float]) -> None:
    """Scrape until it has these values: each worker writes them once a second."""
    deadline = time.monotonic() + PATIENCE
    while (found := {name: scraped(port).get(name, 0.0) for name in expected}) != expected:
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


def ask_until_both_have_served(port: int) -> int:
    """The number of requests that it took."""
    asked = 0
    pids: set[bytes] = set()
    while len(pids) < 2:
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            pids.update(pool.map(lambda _: get(port, "/")[2], range(8)))
        asked += 8
        assert asked < 8000
    return asked


@contextlib.contextmanager
def gunicorn_with_two_workers(directory: Path, *options: str) -> Iterator[int]:
    (directory / "measured_app.py").write_text(APP)
    (directory / "gunicorn.conf.py").write_text("from tlctx.metrics import child_exit\n")
    (directory / "files").mkdir()
    port = free_port()
    command = (
        "-m", "gunicorn", f"--bind=127.0.0.1:{port}", "--workers=2", "--threads=4", "--log-level=warning",
        "--no-control-socket", *options, "measured_app",
    )  # fmt: skip
    environment = {"PROMETHEUS_MULTIPROC_DIR": str(directory / "files")}
    with running(*command, port=port, cwd=directory, **environment):
        yield port


@pytest.mark.servers
@pytest.mark.parametrize("options", [(), ("--preload",)], ids=["plain", "preload"])
def test_the_workers_of_gunicorn_are_one_and_of_a_dead_one_its_counts_are_left_alone(
    options: tuple[str, ...], tmp_path: Path
) -> None:
    requests = 'tlctx_requests_total{method="GET",outcome="ok",route=""}'
    in_flight, overdue = "tlctx_requests_in_flight", "tlctx_requests_overdue"
    with gunicorn_with_two_workers(tmp_path, *options) as port:
        asked = ask_until_both_have_served(port)
        wait_until(port, {requests: asked, in_flight: 0, overdue: 0})
        durations = 'tlctx_request_duration_seconds_count{method="GET",route=""}'
        wait_until(port, {durations: asked})

        stuck = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        stuck.request("GET", "/stuck")
        pid = int(stuck.getresponse().read1())
        wait_until(port, {requests: asked, in_flight: 1, overdue: 1})
        assert list((tmp_path / "files").glob(f"gauge_livesum_{pid}.db"))

        os.kill(pid, signal.SIGKILL)
        wait_until(port, {requests: asked, in_flight: 0, overdue: 0})
        assert not list((tmp_path / "files").glob(f"gauge_*_{pid}.db"))
        stuck.close()
        asked += ask_until_both_have_served(port)
    # The last ones were not a second old when the workers ended.
    from prometheus_client.multiprocess import MultiProcessCollector

    found = values(MultiProcessCollector(None, path=str(tmp_path / "files")))  # type: ignore[no-untyped-call]
    assert found["tlctx_requests_total"] == {("GET", "ok", ""): asked}
    assert found.get("tlctx_requests_in_flight", {(): 0}) == {(): 0}
