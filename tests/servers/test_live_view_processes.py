"""One page for several processes: all workers of a gunicorn, and two gunicorns that share a real Redis."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from support.helpers import PATIENCE
from support.inspecting import TOKEN
from support.processes import free_port, wait_for
from support.redis import redis_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.servers
TESTS = Path(__file__).parent.parent
WORKERS = 2


class Server(NamedTuple):
    """A gunicorn of two workers."""

    port: int
    process: subprocess.Popen[bytes]

    def get(self, path: str) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        with contextlib.closing(connection):
            connection.request("GET", path, headers={"Authorization": f"Bearer {TOKEN}"})
            answer = connection.getresponse()
            assert answer.status == 200
            return answer.read()

    def view(self) -> Any:
        return json.loads(self.get("/requests/requests.json"))

    def shows(self, *paths: str, processes: int) -> Callable[[], bool]:
        """Whether the view lists just these requests, and so many processes, and misses nothing."""

        def holds() -> bool:
            view = self.view()
            shown = {request["path"] for request in view["open"]}
            return shown == set(paths) and len(view["processes"]) == processes and view["trouble"] == []

        return holds

    def kill(self) -> None:
        """Kill all its processes, which have no time to do anything."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@contextlib.contextmanager
def gunicorn(directory: str, redis: str = "") -> Iterator[Server]:
    port = free_port()
    settings = ("-c", "python:support.held_app", f"--bind=127.0.0.1:{port}", "--threads=4", f"--workers={WORKERS}")
    process = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "--log-level=critical", *settings, "support.held_app:app"],
        cwd=TESTS,
        env={**os.environ, "HELD_DIRECTORY": directory, "HELD_REDIS": redis},
        start_new_session=True,
    )
    server = Server(port, process)
    try:
        wait_for(port, process)
        yield server
    finally:
        server.kill()


@contextlib.contextmanager
def held(server: Server) -> Iterator[str]:
    """The path of a request that is served until the end of the block."""
    with socket.create_server(("127.0.0.1", 0)) as listening, contextlib.ExitStack() as stack:
        listening.settimeout(PATIENCE)
        path = f"/hold/{listening.getsockname()[1]}"
        client = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), PATIENCE))
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        stack.enter_context(listening.accept()[0])
        yield path


def until(condition: Callable[[], bool]) -> None:
    """Wait until it holds: other processes tell nobody when."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def directory() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="held") as directory:  # pytest's paths are too long for a socket
        yield directory


def test_all_workers_of_a_gunicorn_are_on_the_page_of_each_and_one_that_is_killed_is_replaced(directory: str) -> None:
    with gunicorn(directory) as server, held(server) as one, held(server) as other:
        until(server.shows(one, other, processes=WORKERS))
        view = server.view()
        assert {process["reached"] for process in view["processes"]} == {True}
        assert {request["process"] for request in view["open"]} <= {process["id"] for process in view["processes"]}
        first = view["open"][0]
        for _ in range(4):  # whichever worker answers
            frames = json.loads(server.get(f"/requests/stack.json?id={first['id']}"))["frames"]
            assert (frames[-1]["function"], frames[-1]["code"]) == ("hold", "test.recv(1)  # where it waits")
        pid = next(process["pid"] for process in view["processes"] if process["id"] == first["process"])
        left = {request["path"] for request in view["open"] if request["process"] != first["process"]}
        os.kill(pid, signal.SIGKILL)
        until(server.shows(*left, processes=WORKERS))
        assert pid not in {process["pid"] for process in server.view()["processes"]}


def test_two_gunicorns_that_share_a_redis_are_on_both_pages_and_do_without_it_and_one_that_is_killed_goes(
    directory: str,
) -> None:
    pytest.importorskip("redis", reason="needs redis")
    redis_port = free_port()
    address = f"redis://127.0.0.1:{redis_port}/0"
    with contextlib.ExitStack() as stack:
        running = stack.enter_context(contextlib.ExitStack())
        running.enter_context(redis_server(redis_port))
        ours, theirs = [stack.enter_context(gunicorn(directory, address)) for _ in range(2)]
        first, second = stack.enter_context(held(ours)), stack.enter_context(held(theirs))
        for server in (ours, theirs):
            until(server.shows(first, second, processes=2 * WORKERS))
        (request,) = [request for request in ours.view()["open"] if request["path"] == second]
        frames = json.loads(ours.get(f"/requests/stack.json?id={request['id']}"))["frames"]
        assert frames[-1]["function"] == "hold"

        running.close()
        until(lambda: ours.view()["trouble"] != [])
        view = ours.view()
        assert all(text.startswith(f"Redis at 127.0.0.1:{redis_port} can't be reached") for text in view["trouble"])
        assert ([request["path"] for request in view["open"]], len(view["processes"])) == ([first], WORKERS)
        assert ours.get("/") == b"ok"

        running.enter_context(redis_server(redis_port))
        for server in (ours, theirs):
            until(server.shows(first, second, processes=2 * WORKERS))
        theirs.kill()
        until(ours.shows(first, processes=WORKERS))
