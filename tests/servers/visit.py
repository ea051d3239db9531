"""What a fault is, and one run of it: a function of a `Visit` to a server, with the limits that servers have."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from servers.client import PATIENCE, Answer
from servers.running import Running, until
from servers.server_table import Server

if TYPE_CHECKING:
    from servers.client import Http1, Http2

NOWHERE: tuple[str, ...] = ()
"""The naive middleware leaks nothing: the server closes the body, on the thread that served it."""
TWISTED = ("twisted",)
"""It leaks there too: Twisted calls no `close()` after an error."""
GUNICORN_HTTP1 = tuple(
    f"gunicorn-{worker}{preload}" for worker in ("sync", "gthread", "gevent") for preload in ("", "-preload")
)
KILLS_WERKZEUG = {
    "werkzeug": "the request runs on the main thread, and only an Exception is caught",
    "werkzeug-threaded": "",
}
DROPS = {
    "werkzeug": "it drops a body if it finds the client gone, which is a matter of chance",
    "bjoern": "it serves others between the steps of a body, which is a matter of chance",
    "tornado": "it serves others between the steps of a body, which is a matter of chance",
    "tornado-executor": "",
}
KILLS_CHEROOT = {"cheroot": "it stops on SystemExit and KeyboardInterrupt"}
KILLS_TORNADO = {"tornado": "they end asyncio's loop", "tornado-executor": "they end asyncio's loop"}
KILLS_HYPERCORN = {"hypercorn": "it ends asyncio's loop, and a worker that failed is not replaced"}
KILLS_BJOERN = {"bjoern": "it prints each error, and printing a SystemExit ends the process"}
NO_FORK = {"mod_wsgi-subinterpreter": "CPython ends a child that another interpreter than the main one has forked"}


Act = Callable[["Visit"], None]
"""What a fault does."""


@dataclass
class Visit:
    """One run of a fault: the server, and a tag that distinguishes its requests from all others."""

    running: Running
    tag: str
    connection: Any = None
    """The connection that the probe goes through, if the fault has left it usable."""
    tags: list[str] = field(default_factory=list)
    reports: list[Any] = field(default_factory=list)
    """What probes said that the fault itself has sent."""
    wrong: list[str] = field(default_factory=list)
    """What the client saw and must not see."""

    def new_tag(self) -> str:
        """A tag for one more request."""
        self.tags.append(f"{self.tag}.{len(self.tags)}" if self.tags else self.tag)
        return self.tags[-1]

    def all_tags(self) -> list[str]:
        """Those, and the tags of requests that were made inside of them."""
        return [*self.tags, *(f"{tag}.inner" for tag in self.tags)]

    def path(self, route: str, tag: str) -> str:
        return f"/{route}?tag={tag}"

    def connect(self, **options: Any) -> Http1 | Http2:
        return self.running.server.client(self.running.port, **options)

    def ask_and_probe(self, route: str, method: str, *, close: bool) -> None:
        """Ask for a route; send the probe right behind it, so that the same connection serves it if any can.

        Whatever the server answers to the fault is accepted, even nothing.
        """
        server, tag = self.running.server, self.new_tag()
        path = self.path(route, tag)
        with self.connect(patience=server.answering) as connection:
            if close or server.loses_pipelined:
                connection.ask(path, method, close=close)
            else:
                for answer in connection.ask_at_once([path, "/probe"], method):
                    if answer.status == 200 and answer.body.startswith(b"{"):
                        self.reports.append(json.loads(answer.body))
        self.check_started(tag)

    def ask(self, route: str, method: str = "GET", *, close: bool = False) -> Answer:
        """Ask for a route, on the same connection as before where that is possible."""
        return self.ask_path(self.path(route, self.new_tag()), method, close=close)

    def ask_path(self, path: str, method: str = "GET", *, close: bool = False) -> Answer:
        if self.connection is None:
            self.connection = self.connect()
        answer: Answer = self.connection.ask(path, method, close=close)
        if not answer.reusable:
            self.disconnect()
        return answer

    def ask_alone(self, path: str) -> Answer:
        """Ask on a connection that serves nothing else."""
        with self.connect() as connection:
            return connection.ask(path, close=True)

    def disconnect(self) -> None:
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.close()

    def expect(self, answer: Answer, status: int, body: bytes | None = None) -> None:
        """Record the answer as wrong unless it is as it should be."""
        if answer.broken or answer.status != status or (body is not None and answer.body != body):
            self.wrong.append(f"answered {answer.status} {answer.body[:60]!r} {answer.broken}")

    def places(self, tag: str) -> list[tuple[int, int]]:
        """The processes and threads in which the app used this tag."""
        return [(int(words[0]), int(words[1])) for name, *words in self.running.events(tag) if name == "opened"]

    def started(self, tag: str) -> bool:
        """Wait until the app serves this request."""
        return until(lambda: bool(self.places(tag)), PATIENCE)

    def check_started(self, tag: str) -> None:
        """Note it as wrong if the app does not serve this request."""
        if not self.started(tag):
            self.wrong.append("the app was never called")


@dataclass(frozen=True)
class Fault:
    act: Callable[[Visit], None]
    naive_leaks: tuple[str, ...] = ("*",)
    """Servers where the naive middleware must fail: everywhere, or those with these names."""
    naive_varies: Mapping[str, str] = field(default_factory=dict)
    """Servers where it may fail or not, with the reason."""
    reported: tuple[int, int] | None = None
    """How many dropped bodies and failed teardowns tlctx must have logged, where that is the same on every server."""
    absent: Mapping[str, str] = field(default_factory=dict)
    """Servers where there is no such fault, by the beginning of their names, with the reason."""
    dies: Mapping[str, str] = field(default_factory=dict)
    """Servers that end with it, or whose worker does, so that the next process has to answer."""
    killed: Mapping[str, str] = field(default_factory=dict)
    """Servers whose process is killed, so that no teardown can run."""
    apart: Callable[[Server], tuple[str, ...] | None] = lambda server: None
    """If it needs a server of its own: the options to start that with."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """What to add to the environment of that server."""

    @property
    def name(self) -> str:
        return self.act.__name__

    def leaks_naively_on(self, server: Server) -> bool:
        return server.closes_elsewhere or "*" in self.naive_leaks or server.name in self.naive_leaks

    def __str__(self) -> str:
        return self.name


def reason(limits: Mapping[str, str], server: object) -> str:
    """The reason that a table of limits gives for a server; the longest name that fits wins."""
    fitting = [name for name in limits if str(server) == name or str(server).startswith(f"{name}-") or name == "*"]
    return limits[max(fitting, key=len)] if fitting else ""


FAULTS: list[Fault] = []


def adding_to(faults: list[Fault]) -> Callable[..., Callable[[Act], Act]]:
    """What adds a function to a list, as a fault with limits."""

    def fault(**limits: Any) -> Callable[[Act], Act]:
        def add(act: Act) -> Act:
            faults.append(Fault(act, **limits))
            return act

        return add

    return fault


fault = adding_to(FAULTS)


def simple(name: str, route: str = "", method: str = "GET", *, close: bool = False, **limits: Any) -> None:
    """A fault that asks for one route and leaves it to the server what to answer."""

    def act(visit: Visit) -> None:
        visit.ask_and_probe(route or name, method, close=close)

    act.__name__ = name
    FAULTS.append(Fault(act, **limits))


def raising(name: str, route: str = "raise_from_app", **limits: Any) -> None:
    """A fault that raises the exception that its name begins with."""

    def act(visit: Visit) -> None:
        visit.tag = f"{name}.{visit.tag}"
        visit.ask_and_probe(route, "GET", close=False)

    act.__name__ = name
    FAULTS.append(Fault(act, **limits))


def act_of_leaving(name: str, route: str, received: int) -> Act:
    """Ask, receive this many bytes, reset the connection, and let the app go on."""

    def act(visit: Visit) -> None:
        tag = visit.new_tag()
        with visit.connect(receive_buffer=65536) as connection:
            connection.send(visit.path(route, tag))
            visit.check_started(tag)
            connection.receive_some(received)
            connection.reset()
        visit.running.set_flag(tag)

    act.__name__ = name
    return act
