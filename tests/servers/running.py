"""A running server: a process, or a group of them, that tests start, ask and stop."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from servers.server_table import APP, TESTS
from support.processes import free_port, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from servers.client import Http1, Http2
    from servers.server_table import Server

STARTING = 30.0
"""Seconds that a server may take to start."""
STOPPING = 20.0
"""Seconds that a server may take to stop after SIGTERM."""


@dataclass
class Running:
    """One server process, or group, and how to talk to it; `events` are the lines that the app under test wrote."""

    server: Server
    middleware: str
    options: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    port: int = 0
    process: subprocess.Popen[bytes] | None = None
    directory: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="faults-")))

    @property
    def is_up(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Start it, or start it again if it has ended."""
        self.port = free_port()
        command = self.server.command(self.port)
        command[-1:-1] = self.options if command[-1] == APP else ()
        command += () if command[-1] == APP else self.options
        environment = {
            **os.environ, "PYTHONPATH": str(TESTS), "FAULTS_EVENTS": str(self.events_file), "PYTHONWARNINGS": "ignore",
            "FAULTS_MIDDLEWARE": self.middleware, **self.environment,
        }  # fmt: skip
        self.events_file.touch()
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=self.directory, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        try:
            wait_for(self.port, self.process)
        except AssertionError as error:
            raise AssertionError(f"{self.server} did not start: {error}\n{self.log}") from None
        assert until(self.answers, STARTING), f"{self.server} does not answer\n{self.log}"

    def answers(self) -> bool:
        """Whether the app answers; a process that listens may have to import it yet."""
        with contextlib.suppress(OSError), self.connect() as connection:
            return connection.ask("/start_afresh", close=True).status == 204
        return False

    def terminate(self) -> None:
        """Send SIGTERM."""
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)

    def stop(self) -> None:
        """Stop it, and whatever it has started."""
        if self.process is None:
            return
        deadline = time.monotonic() + STOPPING
        self.terminate()
        while not until(lambda: not self.is_up, 1.0) and time.monotonic() < deadline:
            if not self.server.graceful:
                self.terminate()  # wsgiref treats a signal during a request as an error of the request
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def remove(self) -> None:
        """Stop it, and forget its events and its log."""
        self.stop()
        shutil.rmtree(self.directory)

    @property
    def events_file(self) -> Path:
        return self.directory / "events"

    @property
    def log_file(self) -> Path:
        return self.directory / "log"

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def events(self, tag: str) -> list[list[str]]:
        """The events about the request with this tag, each as its words without the tag."""
        return self.events_by_tag()[tag]

    def events_by_tag(self) -> defaultdict[str, list[list[str]]]:
        """The same for all requests, from one look at the file."""
        found: defaultdict[str, list[list[str]]] = defaultdict(list)
        for line in self.events_file.read_text().splitlines():
            name, tag, *words = line.split(" ")
            found[tag].append([name, *words])
        return found

    def set_flag(self, tag: str) -> None:
        (self.directory / tag).touch()

    def connect(self) -> Http1 | Http2:
        return self.server.client(self.port)


@contextlib.contextmanager
def serving(server: Server, middleware: str, *options: str, **environment: str) -> Iterator[Running]:
    running = Running(server, middleware, options, environment)
    try:
        running.start()
        yield running
    finally:
        running.remove()


def until(condition: Callable[[], bool], patience: float) -> bool:
    """Whether the condition comes true in this many seconds. It polls: the condition is about another process."""
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
