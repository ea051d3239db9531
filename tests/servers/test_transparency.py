"""A client can't tell whether the middleware is there: not on any real server, nor from any kind of body."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from servers.bodies import KINDS
from servers.client import PATIENCE, Http2
from servers.running import Running, serving, until
from servers.server_table import SERVERS, Server, as_parameters

WITH_CLOSE = [kind for kind in KINDS if "close" in kind or "file" in kind]
MERGES = "mod_wsgi"
"""Apache sends in one chunk what lies there of a body, so that the chunks are a matter of chance."""
WITHOUT_WRITE = ("granian", "hypercorn", "bjoern")


def fails(server: str, kind: str, method: str) -> bool:
    """Whether the server itself fails: with the middleware it has to fail in the same way."""
    empty = kind.startswith("an_empty_")
    if server == "hypercorn" and empty:
        return True  # it sends the headers together with the first block
    if server.startswith("tornado") and method == "HEAD":
        return not empty  # it writes the blocks, which it then refuses
    return server in WITHOUT_WRITE and "write" in kind


next_number = count(1).__next__


@pytest.fixture(scope="module", params=as_parameters(SERVERS))
def running(request: pytest.FixtureRequest) -> Iterator[Running]:
    server: Server = request.param
    server.check_installed()
    with serving(server, "tlctx") as process:
        (process.directory / "file").write_bytes(b"%65536d" % 0)
        yield process


def fetch(running: Running, path: str, method: str) -> tuple[str, object]:
    """The request's tag, and all that the server sends in answer, to the last byte; the date is taken out."""
    tag = f"body{next_number()}"
    with running.connect() as connection:
        if isinstance(connection, Http2) or running.server.name.startswith(MERGES):
            answer = connection.ask(f"{path}?tag={tag}", method, close=True)
            headers = [pair for pair in answer.headers if pair[0].lower() != "date"]
            return tag, (answer.status, headers, answer.body, answer.broken)
        connection.send(f"{path}?tag={tag}", method, close=True)
        if running.server.name == "uwsgi":  # it keeps the connection open after an answer without a length
            connection.socket.shutdown(socket.SHUT_WR)
        received = b"".join(iter(lambda: connection.socket.recv(1 << 16), b""))
    return tag, re.sub(rb"(?i)(\r\ndate: )[^\r]*", rb"\1then", received)


def wait_for_events(running: Running, tag: str, name: str, *, times: int) -> list[list[str]]:
    """Wait until the app has written this many events with this name about the request; the words of each."""
    found: list[list[str]] = []

    def enough() -> bool:
        found[:] = [words for event, *words in running.events(tag) if event == name]
        return len(found) >= times

    until(enough, PATIENCE)
    assert len(found) == times, f"{name}: {found}"
    return found


def is_200(wire: Any) -> bool:
    return bool(wire[0] == 200 if isinstance(wire, tuple) else wire.split()[1:2] == [b"200"])


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_client_receives_the_same_bytes_with_and_without_the_middleware(
    running: Running, kind: str, method: str
) -> None:
    _, bare = fetch(running, f"/bare/{kind}", method)
    tag, within = fetch(running, f"/within/{kind}", method)
    assert within == bare
    assert is_200(bare) == (not fails(running.server.name, kind, method)), bare
    wait_for_events(running, tag, "torn_down", times=1)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("kind", WITH_CLOSE)
def test_the_body_is_closed_once_as_it_is_without_the_middleware(running: Running, kind: str, method: str) -> None:
    tags = [fetch(running, f"/{side}/{kind}", method)[0] for side in ("bare", "within")]
    wait_for_events(running, tags[1], "torn_down", times=1)
    for tag in tags:
        wait_for_events(running, tag, "closed", times=1)


NEVER_CLOSED = {"twisted"}
"""Servers that call no `close()` after the body raised."""


def test_a_body_that_fails_is_closed_once_before_its_scope_whether_or_not_the_server_does(running: Running) -> None:
    bare, within = (f"body{next_number()}" for _ in range(2))
    for side, tag in (("bare", bare), ("within", within)):
        with running.server.client(running.port, patience=running.server.answering) as connection:
            connection.ask(f"/{side}/a_body_that_fails?tag={tag}", close=True)
    wait_for_events(running, within, "torn_down", times=1)
    assert [name for name, *_ in running.events(within)] == ["closed", "torn_down"]
    wait_for_events(running, bare, "closed", times=0 if running.server.name in NEVER_CLOSED else 1)


SENDFILE = [
    server for server in SERVERS if server.name in {
        "gunicorn-sync", "gunicorn-sync-preload", "gunicorn-gthread", "gunicorn-gthread-preload", "uwsgi",
    }
]  # fmt: skip
"""Servers that have the system send a file."""
GEVENT = [server for server in SERVERS if server.name.startswith("gunicorn-gevent")]
"""Here gunicorn calls the `sendfile` of gevent's sockets, which reads the file: the system's would block."""
WSGIREF = [server for server in SERVERS if server.name == "wsgiref"]
FILES = ["a_file", "a_file_with_content_length", "the_rest_of_a_file"]


def reads(running: Running, kind: str) -> dict[str, int]:
    """How often Python code read the file, in its answer with and without the middleware."""
    found = {}
    for side in ("bare", "within"):
        tag, wire = fetch(running, f"/{side}/{kind}", "GET")
        assert is_200(wire)
        found[side] = int(wait_for_events(running, tag, "reads", times=1)[0][0])
    return found


@pytest.mark.parametrize("running", as_parameters(SENDFILE), indirect=True)
@pytest.mark.parametrize("kind", FILES)
def test_where_the_system_sends_a_file_no_python_code_reads_it(running: Running, kind: str) -> None:
    assert reads(running, kind) == {"bare": 0, "within": 0}


@pytest.mark.parametrize("running", as_parameters(GEVENT), indirect=True)
@pytest.mark.parametrize("kind", FILES)
def test_gevents_sendfile_reads_a_file_as_often_as_without_the_middleware(running: Running, kind: str) -> None:
    found = reads(running, kind)
    assert found["within"] == found["bare"] > 0


@pytest.mark.parametrize("running", as_parameters(WSGIREF), indirect=True)
@pytest.mark.parametrize("kind", FILES)
def test_where_there_is_no_sendfile_the_reads_are_seen(running: Running, kind: str) -> None:
    found = reads(running, kind)
    assert found["within"] == found["bare"] > 0
