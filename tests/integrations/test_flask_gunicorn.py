"""Flask under real gunicorn: an answer that is not streamed goes out when its request has ended, commit included."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.helpers import PATIENCE
from support.processes import gunicorn
from support.rows_app import CONNECTIONS, MEGABYTES, make_tables

if TYPE_CHECKING:
    from collections.abc import Iterator

TESTS = Path(__file__).resolve().parent.parent
WORKERS = {
    "gthread": ("--worker-class=gthread", "--threads=4"),
    "sync": ("--worker-class=sync", "--threads=1"),
}
A_FEW = 20
MANY = pytest.param(2000, marks=[pytest.mark.servers, pytest.mark.timeout(900)], id="many_pairs")
new_number = itertools.count(1).__next__


@contextlib.contextmanager
def serving(directory: Path, *options: str) -> Iterator[int]:
    """The port of a gunicorn that serves the application of `support.rows_app` on a new database."""
    database = str(directory / "rows")
    make_tables(database)
    with gunicorn(f"support.rows_app:make({database!r})", "--no-control-socket", *options, cwd=TESTS) as port:
        yield port


@pytest.fixture(scope="module", params=WORKERS)
def port(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[int]:
    with serving(tmp_path_factory.mktemp(request.param), "--workers=2", *WORKERS[request.param]) as port:
        yield port


@pytest.fixture(scope="module")
def port_of_one_worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with serving(tmp_path_factory.mktemp("one"), *WORKERS["gthread"]) as port:
        yield port


def ask(port: int, method: str, path: str) -> tuple[int, Any]:
    """Status and body of one answer, on a connection of its own, so that any worker may serve it."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        body = answer.read()
        return answer.status, json.loads(body) if answer.headers.get_content_subtype() == "json" else body.decode()
    finally:
        connection.close()


@pytest.mark.parametrize("pairs", [A_FEW, MANY])
def test_a_row_that_was_committed_at_the_end_of_a_post_is_there_for_the_next_request(port: int, pairs: int) -> None:
    stale = []
    for _ in range(pairs):
        number = new_number()
        assert ask(port, "POST", f"/parents/{number}") == (201, {"added": number})
        if ask(port, "GET", f"/parents/{number}") != (200, {"found": True}):
            stale.append(number)
    assert stale == [], f"{len(stale)} of {pairs}"


def test_a_commit_that_fails_is_the_servers_500_and_no_error_handlers(port: int) -> None:
    parent = new_number()
    assert ask(port, "POST", f"/parents/{parent}") == (201, {"added": parent})
    assert ask(port, "POST", f"/children/{parent}") == (201, {"added": parent})
    status, body = ask(port, "POST", f"/children/{new_number()}")
    assert status == 500
    assert "<h1><p>Internal Server Error</p></h1>" in body
    assert ask(port, "GET", "/children") == (200, {"children": 1})


def test_a_commit_that_fails_is_counted_once(port_of_one_worker: int) -> None:
    assert ask(port_of_one_worker, "GET", "/counters") == (200, [0, 0, 0])
    assert ask(port_of_one_worker, "POST", f"/children/{new_number()}")[0] == 500
    assert ask(port_of_one_worker, "GET", "/counters") == (200, [0, 1, 0])


def test_clients_that_read_a_large_answer_slowly_hold_no_connection_of_the_pool(port_of_one_worker: int) -> None:
    with contextlib.ExitStack() as readers:
        for _ in range(CONNECTIONS):
            reader = readers.enter_context(socket.socket())
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            reader.settimeout(PATIENCE)
            reader.connect(("127.0.0.1", port_of_one_worker))
            reader.sendall(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n")
            head = reader.recv(1024)  # and nothing more of its many megabytes
            assert head.startswith(b"HTTP/1.1 200 ")
            assert f"Content-Length: {MEGABYTES << 20}".encode() in head
        for _ in range(2 * CONNECTIONS):
            assert ask(port_of_one_worker, "GET", "/children") == (200, {"children": 0})
