"""The clients of `ways.py`: each asks as a user of its own in every request, and reads who the answer is for."""

from __future__ import annotations

import itertools
import threading
from typing import TYPE_CHECKING

from servers.client import Answer, Http1
from servers.ways_tally import FOREIGN, MISSING, RIGHT, Tally

if TYPE_CHECKING:
    from collections.abc import Callable

ROUTES = ("sync", "async")


class Client:
    """One client of one server."""

    def __init__(self, name: str, port: int, tally: Tally) -> None:
        self.name = name
        self.port = port
        self.tally = tally
        self.connection: Http1 | None = None

    def run(self, go: threading.Event, stopped: Callable[[], bool]) -> None:
        """Ask until `stopped()`, whenever `go` is set."""
        for number, route in enumerate(itertools.cycle(ROUTES)):
            go.wait()
            if stopped():
                break
            self.ask(route, f"{self.name}-{number}")
        self.disconnect()

    def ask(self, route: str, user: str) -> None:
        """One request: its path has the expected value, its query the one that the context gets."""
        path, kept = f"/{route}/{user}?{user}", self.connection
        answer = Answer() if kept is None else kept.ask(path)
        if answer.status is None:  # the server may have closed a connection that was idle while the client waited
            self.disconnect()
            self.connection = Http1(self.port)
            answer = self.connection.ask(path)
        self.tally.add("requests")
        names = answer.body.decode(errors="replace").split()
        if answer.status != 200 or answer.broken or not names:
            wrong = f"a whole answer: {answer.status} {answer.broken} {answer.body[:200]!r}"
            self.tally.note("answer", MISSING, wrong)
        else:
            outcome = RIGHT if {*names} == {user} else FOREIGN if {*names} - {user, "nobody"} else MISSING
            self.tally.note("answer", outcome, f"{user!r}: {names!r}")
        if not answer.reusable:
            self.disconnect()

    def disconnect(self) -> None:
        if self.connection is not None:
            self.connection.close()
            self.connection = None
