"""Every fault on every real server: afterwards nothing of the request is left, and what it opened is closed, once."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from itertools import count

import pytest
from servers.check import violations
from servers.client import PATIENCE
from servers.servers import SERVERS, Running, Server, serving
from servers.table import FAULTS
from servers.visit import Fault, reason

PAIRS = [
    pytest.param(server, fault, id=f"{server}-{fault}", marks=[pytest.mark.pair])
    for server in SERVERS
    for fault in FAULTS
]
IMPATIENT = 0.4
"""Seconds after which what a naive middleware has not closed is taken to be left open for good."""

BROKEN: set[tuple[str, str]] = set()
"""Servers that did not start, with their middleware: they are not waited for a second time."""

next_tag = count(1).__next__


@pytest.fixture(scope="module")
def shared() -> Iterator[dict[tuple[str, str], Running]]:
    """The server that runs, with its middleware: kept while its pairs come one after the other."""
    running: dict[tuple[str, str], Running] = {}
    yield running
    for server in running.values():
        server.remove()


@contextlib.contextmanager
def server_for(
    server: Server, fault: Fault, middleware: str, shared: dict[tuple[str, str], Running]
) -> Iterator[Running]:
    server.check_installed()
    if reason(fault.absent, server):
        pytest.skip(f"{server}: {reason(fault.absent, server)}")
    options = fault.apart(server)
    if options is not None:
        with serving(server, middleware, *options, **fault.environment) as running:
            yield running
        return
    key = (server.name, middleware)
    for other in [other for other in shared if other != key]:
        shared.pop(other).remove()
    assert key not in BROKEN, f"{server} did not start before"
    if key not in shared:
        shared[key] = Running(server, middleware)
    if not shared[key].alive:
        BROKEN.add(key)
        shared[key].start()
        BROKEN.remove(key)
    yield shared[key]


@pytest.mark.parametrize(("server", "fault"), PAIRS)
def test_nothing_is_left_of_a_request_with(
    server: Server, fault: Fault, shared: dict[tuple[str, str], Running]
) -> None:
    with server_for(server, fault, "tlctx", shared) as running:
        found = violations(fault, running, f"t{next_tag()}")
        assert found == [], running.log[-3000:]


@pytest.mark.control
@pytest.mark.parametrize(("server", "fault"), PAIRS)
def test_the_suite_sees_what_a_naive_middleware_leaves_of_a_request_with(
    server: Server, fault: Fault, shared: dict[tuple[str, str], Running]
) -> None:
    leaks, varies = fault.leaks_naively_on(server), reason(fault.naive_varies, server)
    with server_for(server, fault, "naive", shared) as running:
        found = violations(fault, running, f"t{next_tag()}", IMPATIENT if leaks or varies else PATIENCE)
        if varies:
            pytest.skip(f"{server}: {varies}")
        if leaks:
            assert found, "a naive middleware came through, so the suite does not see this fault"
        else:
            assert found == [], running.log[-3000:]


GTHREAD = [server for server in SERVERS if server.name == "gunicorn-gthread"]


@pytest.mark.control
@pytest.mark.parametrize("server", GTHREAD, ids=str)
@pytest.mark.parametrize("fault", [fault for fault in FAULTS if not reason(fault.absent, GTHREAD[0])], ids=str)
def test_the_suite_sees_that_a_middleware_never_clears_with(
    server: Server, fault: Fault, shared: dict[tuple[str, str], Running]
) -> None:
    with server_for(server, fault, "careless", shared) as running:
        assert violations(fault, running, f"t{next_tag()}", IMPATIENT)
