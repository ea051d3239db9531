"""The sample application as its own `gunicorn.conf.py` serves it: what the log says of requests that hang."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
from support.checkout import CHECKOUT
from support.hanging import HANGS, HangingServer, hanging_server
from support.processes import EXAMPLES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.servers

APP = """
import os, socket
from notebook import create_app

app = create_app()


@app.get("/stuck/<name>")
def hang(name):
    connection = socket.create_connection(("127.0.0.1", int(os.environ["TEST_PORT"])))
    connection.sendall(f"{os.getpid()}\\n".encode())
    connection.recv(1)  # it hangs here
    return name
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[HangingServer]:
    (tmp_path / "stuck_notebook.py").write_text(APP)
    options = "-c", str(EXAMPLES / "notebook/gunicorn.conf.py"), "--timeout=2", "--graceful-timeout=1"
    environment = {
        "DATABASE_URL": f"sqlite:///{tmp_path / 'notes.sqlite3'}",
        "NOTEBOOK_INSPECTOR_TOKEN": "the-token-of-this-test",
        "PYTHONPATH": str(CHECKOUT),
        "SECRET_KEY": "of this test",
    }
    with hanging_server(tmp_path, *options, "stuck_notebook:app", **environment) as server:
        yield server


def test_a_request_that_hangs_is_named_with_its_line_and_again_when_it_ends(server: HangingServer) -> None:
    with server.hanging("/stuck/one") as (_, connection):
        assert "(GET /stuck/one): overdue after " in server.until(": overdue after ")[-1]
        server.until(HANGS)
        connection.sendall(b"x")
        server.until("(GET /stuck/one): ended at last, after ")


def test_an_aborted_worker_names_what_each_of_its_threads_served(server: HangingServer) -> None:
    with server.hanging("/stuck/one") as (pid, _):
        server.until("(GET /stuck/one): overdue after ")
        os.kill(pid, signal.SIGABRT)
        server.until(f"worker {pid} is aborted: 1 request is open")
        server.until("(GET /stuck/one): aborted after ", "on thread ")
        server.until(HANGS)


def test_a_worker_that_exits_names_what_it_leaves_unfinished(server: HangingServer) -> None:
    with server.hanging("/stuck/one"):
        server.process.send_signal(signal.SIGTERM)
        server.until("(GET /stuck/one): unfinished after ")
