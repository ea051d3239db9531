"""The table of servers: how each is started as a process, with one thread, and what it can do by itself."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from servers.client import Http1, Http2
from support.helpers import missing
from support.processes import free_port, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

TESTS = Path(__file__).parent.parent
APP = "servers.app:application"
BIN = Path(sys.executable).parent
STARTING = 30.0
"""Seconds a server has to start in."""
STOPPING = 20.0
"""Seconds a server has to stop in when it is told to."""


@dataclass(frozen=True)
class Server:
    """How to start one, and what to expect of it."""

    name: str
    command: Callable[[int], list[str]]
    """From the port to the command line."""
    needs: str
    """The distribution that has to be installed."""
    client: type[Http1 | Http2] = Http1
    keeps_alive: bool = True
    """Whether it takes a second request on the same connection."""
    pipelines: bool = True
    """Whether it answers requests that arrive before the answer to the one before them."""
    one_thread: bool = True
    """Whether every request runs on the same thread; else each connection has its own thread or greenlet."""
    graceful: bool = False
    """Whether it finishes the answers it has begun when it is told to stop."""
    answering: float = 2.0
    """Seconds to wait for its answer to a fault: some never answer, or keep a connection whose answer has no end."""

    def __str__(self) -> str:
        return self.name

    def check_installed(self) -> None:
        if importlib.util.find_spec(self.needs) is None and not (BIN / self.needs).exists():
            missing(f"{self.needs}: pip install {self.needs}")


def gunicorn(worker: str, *options: str, app: str = APP) -> Callable[[int], list[str]]:
    def command(port: int) -> list[str]:
        return [
            sys.executable, "-m", "gunicorn", f"--worker-class={worker}", f"--bind=127.0.0.1:{port}", "--threads=1",
            "--log-level=warning", "--access-logfile=/dev/null", "--keep-alive=1", "--no-control-socket", *options,
            app,
        ]  # fmt: skip

    return command


def library(name: str) -> Callable[[int], list[str]]:
    return lambda port: [sys.executable, str(TESTS / "servers" / "serve.py"), name, str(port)]


def uwsgi(port: int) -> list[str]:
    return [
        str(BIN / "uwsgi"), f"--http11-socket=127.0.0.1:{port}", "--master", "--enable-threads", "--threads=2",
        f"--module={APP}", f"--virtualenv={sys.prefix}", "--need-app",
        "--disable-logging", "--socket-timeout=2", "--worker-reload-mercy=5",
        "--hook-master-start=unix_signal:15 gracefully_kill_them_all",
    ]  # fmt: skip


def granian(port: int) -> list[str]:
    return [
        str(BIN / "granian"), "--interface=wsgi", f"--port={port}", "--blocking-threads=1", "--workers=1",
        "--access-log", "--log-level=warning", "--respawn-failed-workers", "--respawn-interval=0.1",
        "--workers-kill-timeout=10", APP,
    ]  # fmt: skip


H2 = ("--http-protocols=h2,h1", "--http2-cleartext=prior-knowledge")

CLOSES: dict[str, Any] = {"keeps_alive": False, "pipelines": False}  # the connection, after each answer

SERVERS = [
    Server("gunicorn-sync", gunicorn("sync"), "gunicorn", **CLOSES, graceful=True),
    Server("gunicorn-sync-preload", gunicorn("sync", "--preload"), "gunicorn", **CLOSES, graceful=True),
    Server("gunicorn-gthread", gunicorn("gthread"), "gunicorn", graceful=True),
    Server("gunicorn-gthread-preload", gunicorn("gthread", "--preload"), "gunicorn", graceful=True),
    Server("gunicorn-gthread-http2", gunicorn("gthread", *H2), "h2", client=Http2, graceful=True),
    Server("gunicorn-gevent", gunicorn("gevent"), "gunicorn", one_thread=False, graceful=True),
    Server("gunicorn-gevent-preload", gunicorn("gevent", "--preload"), "gunicorn", one_thread=False, graceful=True),
    Server("waitress", library("waitress"), "waitress", answering=0.5),
    Server("werkzeug", library("werkzeug"), "werkzeug", **CLOSES),
    Server(
        "werkzeug-threaded", library("werkzeug_threaded"), "werkzeug", **CLOSES,
        one_thread=False,
    ),
    Server("cheroot", library("cheroot"), "cheroot"),
    Server("wsgiref", library("wsgiref"), "werkzeug", **CLOSES),
    Server("uwsgi", uwsgi, "uwsgi", pipelines=False, graceful=True, answering=0.5),
    Server("granian", granian, "granian", graceful=True),
]  # fmt: skip


@dataclass
class Running:
    """One server process, or group, and how to ask it; `events` are the lines that the app under test wrote."""

    server: Server
    middleware: str
    options: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    port: int = 0
    process: subprocess.Popen[bytes] | None = None
    directory: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="faults-")))

    @property
    def alive(self) -> bool:
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
        """Tell it to stop."""
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)

    def stop(self) -> None:
        """Stop it, and whatever it has started."""
        if self.process is None:
            return
        deadline = time.monotonic() + STOPPING
        self.terminate()
        while not until(lambda: not self.alive, 1.0) and time.monotonic() < deadline:
            if not self.server.graceful:
                self.terminate()  # wsgiref takes one that comes during a request for an error of that
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
        lines = [line.split(" ") for line in self.events_file.read_text().splitlines()]
        return [[name, *words] for name, about, *words in lines if about == tag]

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
    """Whether it comes true in so many seconds: another process tells nobody when it has got there."""
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
