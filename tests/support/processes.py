"""Real servers for tests: each a process of its own on a loopback port, stopped by its pid."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from support.helpers import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextlib.contextmanager
def running(*command: str, port: int, cwd: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A server started with this interpreter and `command`, from when it accepts connections at `port`."""
    process = subprocess.Popen([sys.executable, *command], cwd=cwd, env={**os.environ, **environment})
    with stopping(process):
        wait_for(port, process)
        yield process


@contextlib.contextmanager
def stopping(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """A block after which the process is asked to end, and has ended."""
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        assert process.poll() is None, f"the server ended with status {process.returncode}"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)  # a port that nobody listens at yet tells nobody when it changes
    raise AssertionError("the server does not answer")


def get(port: int, path: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of one answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


@contextlib.contextmanager
def gunicorn(app: str, *options: str, cwd: Path, threads: int = 1) -> Iterator[int]:
    """The port of a gunicorn that serves `app` on so many threads of one worker.

    With one thread a request is served when the one before it has ended, not just when its answer was received.
    """
    port = free_port()
    threaded = ("--worker-class=gthread", f"--threads={threads}", f"--bind=127.0.0.1:{port}", "--log-level=warning")
    with running("-m", "gunicorn", *threaded, *options, app, port=port, cwd=cwd):
        yield port
