"""The table of servers: how each is started as a process, with one thread, and what it can do."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from servers.client import Http1, Http2
from support.helpers import missing

if TYPE_CHECKING:
    from collections.abc import Callable

    from _pytest.mark import ParameterSet

TESTS = Path(__file__).parent.parent
APP = "servers.app:application"
BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Server:
    """How to start one, and what to expect of it."""

    name: str
    command: Callable[[int], list[str]]
    """Makes the command line from the port."""
    needs: str
    """The distribution that has to be installed."""
    client: type[Http1 | Http2] = Http1
    keeps_alive: bool = True
    """Whether it takes a second request on the same connection."""
    pipelines: bool = True
    """Whether it answers requests that arrive before the answer to the one before them."""
    loses_pipelined: bool = False
    """Whether such a request may get lost, or take the place of the one before it."""
    one_thread: bool = True
    """Whether every request runs on the same thread; else each connection has its own thread or greenlet."""
    closes_elsewhere: bool = False
    """Whether it closes bodies on another thread than the one that ran them."""
    graceful: bool = False
    """Whether it finishes the answers it has begun after SIGTERM."""
    answering: float = 2.0
    """Seconds to wait for its answer to a fault: some servers never answer, or never end the answer."""

    def __str__(self) -> str:
        return self.name

    @property
    def installed(self) -> bool:
        return importlib.util.find_spec(self.needs) is not None or (BIN / self.needs).exists()

    def check_installed(self) -> None:
        """End the test where it is not: as skipped, and in CI as failed."""
        if not self.installed:
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
    return lambda port: [sys.executable, "-m", "servers.serve", name, str(port)]


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


def hypercorn(port: int) -> list[str]:
    return [
        sys.executable, "-m", "hypercorn", f"--bind=127.0.0.1:{port}", "--access-logfile=/dev/null",
        "--error-logfile=-", "--graceful-timeout=5", f"wsgi:{APP}",
    ]  # fmt: skip


def mod_wsgi(group: str) -> Callable[[int], list[str]]:
    return lambda port: [sys.executable, "-m", "servers.apache", str(port), group, "threads=1"]


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
    Server("hypercorn", hypercorn, "hypercorn"),
    Server("tornado", library("tornado"), "tornado", answering=0.5),
    Server("tornado-executor", library("tornado_executor"), "tornado", closes_elsewhere=True, answering=0.5),
    Server("twisted", library("twisted"), "twisted"),
    Server("uvicorn-a2wsgi", library("uvicorn"), "a2wsgi", loses_pipelined=True),
    Server("bjoern", library("bjoern"), "bjoern", pipelines=False, loses_pipelined=True),
    Server("mod_wsgi", mod_wsgi("%{GLOBAL}"), "mod_wsgi"),
    Server("mod_wsgi-subinterpreter", mod_wsgi("one"), "mod_wsgi"),
]  # fmt: skip

IN_DEFAULT_RUN = "gunicorn-gthread"
"""The one server whose tests are not marked `servers`, so that a run without the matrix has them."""


def marks_of(server: Server) -> list[pytest.MarkDecorator]:
    return [] if server.name == IN_DEFAULT_RUN else [pytest.mark.servers]


def as_parameters(servers: list[Server]) -> list[ParameterSet]:
    """The servers as parameters of a test or a fixture, with their names as ids."""
    return [pytest.param(server, id=str(server), marks=marks_of(server)) for server in servers]
