"""The hooks and the watchdog in real workers of gunicorn: who is stuck, on which line, and when it ends."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING

import pytest
from support.hanging import HANGS, HangingServer, hanging_server
from support.processes import get

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.servers

APP = """
import os, socket

from tlctx import ContextMiddleware, RequestContext, asgi

ctx = RequestContext()
test = "127.0.0.1", int(os.environ["TEST_PORT"])


def hang(connect):
    connection = connect(test)
    connection.sendall(f"{os.getpid()}\\n".encode())
    connection.recv(1)  # it hangs here


def block():
    pipe, _ = os.pipe()
    socket.create_connection(test).sendall(f"{os.getpid()}\\n".encode())
    os.read(pipe, 1)  # it blocks here


def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    if environ["PATH_INFO"].startswith("/stuck"):
        hang(socket.create_connection)
    if environ["PATH_INFO"] == "/block":
        block()
    return [str(os.getpid()).encode()]


async def async_app(scope, receive, send):
    if scope["type"] != "http":
        return
    hang(socket.create_connection)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


app = ContextMiddleware(app, ctx)
async_app = asgi.ContextMiddleware(async_app, ctx)
"""

CONFIGURATION = """
from tlctx import gunicorn
from tlctx.gunicorn import worker_exit


def post_worker_init(worker):
    gunicorn.post_worker_init(worker, after=0.2)


def worker_abort(worker):
    gunicorn.worker_abort(worker)
    worker.log.error("a hook of one's own")
"""


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., HangingServer]]:
    """Start a gunicorn with so much of a command line."""
    (tmp_path / "served_app.py").write_text(APP)
    (tmp_path / "gunicorn.conf.py").write_text(CONFIGURATION)
    with contextlib.ExitStack() as stack:

        def start(worker: str, *options: str, app: str = "app") -> HangingServer:
            usual = f"--worker-class={worker}", "--log-level=warning", "--no-control-socket", "--graceful-timeout=1"
            return stack.enter_context(hanging_server(tmp_path, *usual, *options, f"served_app:{app}"))

        yield start


WORKERS = {"sync": [], "gthread": ["--threads=4"], "gevent": []}
each_worker = pytest.mark.parametrize("worker", WORKERS)


@each_worker
def test_a_stuck_request_is_named_with_the_line_it_hangs_on_and_again_when_it_ends(
    serve: Callable[..., HangingServer], worker: str
) -> None:
    server = serve(worker, *WORKERS[worker])
    with server.hanging("/stuck%0D%0Aworker%201%20is%20aborted%C2%85%1B[2J") as (_, connection):
        if worker != "sync":  # which serves one at a time
            for _ in range(3):
                assert get(server.port, "/quick")[0] == 200
        first = server.until(": overdue after ")[-1]
        assert r"(GET /stuck\r\nworker 1 is aborted\xc2\x85\x1b[2J)" in first
        assert ("on greenlet " if worker == "gevent" else "on thread ") in first
        stack = server.until(HANGS)
        assert all(line.startswith("  ") for line in stack)
        assert any("in hang" in line for line in stack)
        connection.sendall(b"x")
        last = server.until(": ended at last, after ")[-1]
        assert last.partition(": ended")[0].rpartition("] ")[2] == first.partition(": overdue")[0].rpartition("] ")[2]


@pytest.mark.parametrize("worker", ["gthread", "gevent"])
def test_an_aborted_worker_names_what_each_of_its_threads_served(
    serve: Callable[..., HangingServer], worker: str
) -> None:
    server = serve(worker, *WORKERS[worker])
    with server.hanging("/stuck/one") as (pid, _), server.hanging("/stuck/two"):
        server.until("(GET /stuck/two): overdue after ")  # by now both have got to the line that they hang on
        server.until(HANGS)
        os.kill(pid, signal.SIGABRT)
        assert server.until(f"worker {pid} is aborted: ")[-1].endswith("2 requests are open")
        for name in ("one", "two"):
            server.until(f"(GET /stuck/{name}): aborted after ")
            assert all(line.startswith("  ") for line in server.until(HANGS))
        server.until("a hook of one's own")


def test_a_worker_that_gunicorns_timeout_aborts_says_where_it_hung(serve: Callable[..., HangingServer]) -> None:
    server = serve("sync", "--timeout=1")
    with server.hanging():
        server.until("WORKER TIMEOUT")
        server.until(" is aborted: 1 request is open")
        server.until("(GET /stuck): aborted after ", "on thread MainThread")
        stack = server.until(HANGS)
        assert not any("handle_abort" in line for line in stack)
        assert server.until("a hook")[0].endswith("a hook of one's own")


def test_an_aborted_worker_that_serves_nobody_says_where_it_stood(serve: Callable[..., HangingServer]) -> None:
    server = serve("gthread")
    pid = int(get(server.port, "/")[2])
    os.kill(pid, signal.SIGABRT)
    assert server.until(" is aborted: ")[-1].endswith("it serves no request")
    stack = server.until("a hook of one's own")
    assert any("in run" in line for line in stack)
    assert not any("handle_abort" in line for line in stack)


def test_a_worker_that_exits_names_what_it_leaves_unfinished(serve: Callable[..., HangingServer]) -> None:
    server = serve("gthread", "--threads=4")
    with server.hanging():
        server.until(": overdue")
        server.process.send_signal(signal.SIGTERM)
        line = server.until("(GET /stuck): unfinished after ", "on thread ")[-1]
        assert " s as its worker exits, " in line
        server.until(HANGS)


def test_a_worker_that_exits_by_itself_names_what_it_leaves_unfinished(serve: Callable[..., HangingServer]) -> None:
    server = serve("gthread", "--threads=4")
    with server.hanging() as (pid, _):
        os.kill(pid, signal.SIGTERM)
        server.until("(GET /stuck): unfinished after ")
        assert server.until("(GET /stuck): unfinished after ")[:-1][-1].strip() == HANGS  # the second time without one


def test_the_hooks_can_be_imported_as_they_are(serve: Callable[..., HangingServer], tmp_path: Path) -> None:
    hooks = "from tlctx.gunicorn import post_worker_init, worker_abort, worker_exit"
    (tmp_path / "other.py").write_text(hooks)
    server = serve("gthread", "--config=other.py", "--timeout=1")
    with server.hanging():
        server.until(": overdue after 0.5 s, ")
        server.until(HANGS)


def test_a_request_that_blocks_the_hub_of_gevent_is_named(serve: Callable[..., HangingServer]) -> None:
    server = serve("gevent")
    with server.hanging("/block") as (pid, _):
        server.until("(GET /block): overdue after ")
        assert all(line.startswith("  ") for line in server.until("os.read(pipe, 1)  # it blocks here"))
        os.kill(pid, signal.SIGABRT)
        server.until("(GET /block): aborted after ")
        server.until("os.read(pipe, 1)  # it blocks here")


def test_a_request_that_blocks_the_event_loop_is_named(serve: Callable[..., HangingServer]) -> None:
    server = serve("asgi", app="async_app")
    with server.hanging("/async") as (_, connection):
        server.until("(GET /async): overdue after ")
        assert all(line.startswith("  ") for line in server.until(HANGS))
        connection.sendall(b"x")
        server.until("(GET /async): ended at last")


def test_workers_that_were_forked_with_the_application_each_watch(serve: Callable[..., HangingServer]) -> None:
    server = serve("gthread", "--threads=4", "--workers=2", "--preload")
    with server.hanging("/stuck/one"), server.hanging("/stuck/two"):
        lines = server.until(": overdue after ") + server.until(": overdue after ")
        assert {name for name in ("one", "two") if any(f"/stuck/{name})" in line for line in lines)} == {"one", "two"}
