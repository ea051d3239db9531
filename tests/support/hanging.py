"""A server with requests that hang until the test lets them go."""

from __future__ import annotations

import contextlib
import os
import queue
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from support.helpers import PATIENCE
from support.processes import free_port, get, stopping, wait_for

HANGS = "connection.recv(1)  # it hangs here"
"""The line on which they hang. Before that they send the id of their process to the test."""


class HangingServer:
    """A gunicorn whose application can hang, and what it logs."""

    def __init__(self, port: int, process: subprocess.Popen[bytes], stuck: socket.socket) -> None:
        self.port = port
        self.process = process
        self.stuck = stuck
        self.lines: queue.Queue[str] = queue.Queue()
        self.seen: list[str] = []
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as log:
            for line in log:
                self.lines.put(line.decode().rstrip("\n"))

    def until(self, *words: str) -> list[str]:
        """The lines of the log down to the next one that has all these words."""
        found: list[str] = []
        while not found or not all(word in found[-1] for word in words):
            try:
                found.append(self.lines.get(timeout=PATIENCE / 2))
            except queue.Empty:
                raise AssertionError("\n".join([f"no line has {words}:", *self.seen, *found])) from None
        self.seen += found
        return found

    @contextlib.contextmanager
    def hanging(self, path: str = "/stuck") -> Iterator[tuple[int, socket.socket]]:
        """A block in which a client waits for this answer, from when it hangs: the worker, and what lets it go."""
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(get, self.port, path)
            connection, _ = self.stuck.accept()
            with connection:
                try:
                    yield int(connection.recv(20)), connection
                finally:
                    with contextlib.suppress(OSError):
                        connection.sendall(b"x")
            with contextlib.suppress(OSError, Exception):
                answer.result(PATIENCE)


@contextlib.contextmanager
def hanging_server(folder: Path, *options: str, **environment: str) -> Iterator[HangingServer]:
    """A gunicorn with these options, started in `folder`. Its application finds the test at the port TEST_PORT."""
    with contextlib.ExitStack() as stack:
        stuck = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        stuck.settimeout(PATIENCE)
        port = free_port()
        process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", f"--bind=127.0.0.1:{port}", *options],
            cwd=folder, env={**os.environ, **environment, "TEST_PORT": str(stuck.getsockname()[1])},
            stderr=subprocess.PIPE,
        )  # fmt: skip
        server = HangingServer(port, process, stuck)
        stack.callback(server.reader.join, PATIENCE)
        stack.enter_context(stopping(process))
        wait_for(port, process)
        yield server
