"""Every fault on every real server: afterwards nothing of the request is left, and its teardown ran exactly once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from itertools import count

import pytest
from servers.check import violations
from servers.client import PATIENCE
from servers.counting import LIMIT, NOT_INSTALLED, PAIR
from servers.fault_table import FAULTS
from servers.running import Running, serving
from servers.server_table import IN_DEFAULT_RUN, SERVERS, Server, marks_of
from servers.visit import Fault, reason

PAIRS = [
    pytest.param(server, fault, id=f"{server}-{fault}", marks=marks_of(server))
    for server in SERVERS
    for fault in FAULTS
]
IMPATIENT = 0.4
"""Seconds after which what a naive middleware has not closed counts as left open."""

BROKEN: set[tuple[str, str]] = set()
"""Servers that did not start, with their middleware: tests do not wait for them a second time."""

next_tag = count(1).__next__

Shared = dict[tuple[str, str], Running]
Record = Callable[[str, object], None]


@pytest.fixture(scope="module")
def shared() -> Iterator[Shared]:
    """The running server, with its middleware: kept while its pairs come one after the other."""
    running: Shared = {}
    yield running
    for server in running.values():
        server.remove()


def check_pair(server: Server, fault: Fault, middleware: str, record: Record) -> None:
    """End the test of a pair that can't run, and record why."""
    record(PAIR, middleware)
    if limit := reason(fault.absent, server):
        skip_as_limit(server, limit, record)
    if not server.installed:
        record(NOT_INSTALLED, server.name)
    server.check_installed()


def skip_as_limit(server: Server, limit: str, record: Record) -> None:
    record(LIMIT, server.name)
    pytest.skip(f"{server}: {limit}")


@contextlib.contextmanager
def server_for(server: Server, fault: Fault, middleware: str, shared: Shared) -> Iterator[Running]:
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
    if not shared[key].is_up:
        BROKEN.add(key)
        shared[key].start()
        BROKEN.remove(key)
    yield shared[key]


def check_tlctx(server: Server, fault: Fault, shared: Shared, record_property: Record) -> None:
    """Check that the request of a fault leaves nothing behind."""
    check_pair(server, fault, "tlctx", record_property)
    with server_for(server, fault, "tlctx", shared) as running:
        found = violations(fault, running, f"t{next_tag()}")
        assert found == [], running.log[-3000:]


def check_naive(server: Server, fault: Fault, shared: Shared, record_property: Record) -> None:
    """Check that what a naive middleware leaves behind is found."""
    check_pair(server, fault, "naive", record_property)
    leaks, varies = fault.leaks_naively_on(server), reason(fault.naive_varies, server)
    with server_for(server, fault, "naive", shared) as running:
        found = violations(fault, running, f"t{next_tag()}", IMPATIENT if leaks or varies else PATIENCE)
        if varies:
            skip_as_limit(server, varies, record_property)
        if leaks:
            assert found, "a naive middleware came through, so the suite does not see this fault"
        else:
            assert found == [], running.log[-3000:]


@pytest.mark.parametrize(("server", "fault"), PAIRS)
def test_a_request_leaves_nothing_behind(server: Server, fault: Fault, shared: Shared, record_property: Record) -> None:
    check_tlctx(server, fault, shared, record_property)


@pytest.mark.control
@pytest.mark.servers
@pytest.mark.parametrize(("server", "fault"), PAIRS)
def test_what_a_naive_middleware_leaves_behind_is_found(
    server: Server, fault: Fault, shared: Shared, record_property: Record
) -> None:
    check_naive(server, fault, shared, record_property)


(GTHREAD,) = [server for server in SERVERS if server.name == IN_DEFAULT_RUN]


@pytest.mark.control
@pytest.mark.servers
@pytest.mark.parametrize("server", [GTHREAD], ids=str)
@pytest.mark.parametrize("fault", [fault for fault in FAULTS if not reason(fault.absent, GTHREAD)], ids=str)
def test_a_middleware_that_never_clears_is_found(server: Server, fault: Fault, shared: Shared) -> None:
    server.check_installed()
    with server_for(server, fault, "careless", shared) as running:
        assert violations(fault, running, f"t{next_tag()}", IMPATIENT)
