"""Every fault of ASGI on real servers: afterwards nothing of the request is left, and its teardown ran exactly once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from servers.asgi_faults import FAULTS
from servers.asgi_table import SERVERS, UVICORN
from servers.check import violations
from servers.server_table import Server
from servers.test_faults import IMPATIENT, Record, Shared, check_naive, check_tlctx, next_tag, server_for
from servers.visit import Fault, reason

pytestmark = pytest.mark.servers

PAIRS = [pytest.param(server, fault, id=f"{server}-{fault}") for server in SERVERS for fault in FAULTS]


@pytest.fixture(scope="module")
def shared() -> Iterator[Shared]:
    """The running server, with its middleware: kept while its pairs come one after the other."""
    running: Shared = {}
    yield running
    for server in running.values():
        server.remove()


@pytest.mark.parametrize(("server", "fault"), PAIRS)
def test_a_request_leaves_nothing_behind(server: Server, fault: Fault, shared: Shared, record_property: Record) -> None:
    check_tlctx(server, fault, shared, record_property)


@pytest.mark.control
@pytest.mark.parametrize(("server", "fault"), PAIRS)
def test_what_a_naive_middleware_leaves_behind_is_found(
    server: Server, fault: Fault, shared: Shared, record_property: Record
) -> None:
    check_naive(server, fault, shared, record_property)


@pytest.mark.control
@pytest.mark.parametrize("fault", [fault for fault in FAULTS if not reason(fault.absent, UVICORN)], ids=str)
def test_a_middleware_that_never_clears_is_found(fault: Fault, shared: Shared) -> None:
    UVICORN.check_installed()
    with server_for(UVICORN, fault, "careless", shared) as running:
        assert violations(fault, running, f"t{next_tag()}", IMPATIENT)
