"""The soak's clients: each keeps a connection, asks as its own user, and searches every answer for other names."""

from __future__ import annotations

import random
import re
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from servers.client import Connection

if TYPE_CHECKING:
    from collections.abc import Callable

RIGHT = ("list", "stream", "anonymous")
WRONG = (
    "raise", "stop", "none", "raise_in_stream", "close_raises", "teardown_fails", "log_fails", "reset", "job_outlives",
)  # fmt: skip
NAMES = re.compile(rb"u\d+-\d+|nobody")
LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


@dataclass
class Tally:
    """What one client has seen."""

    requests: int = 0
    faults: int = 0
    foreign: int = 0
    unanswered: int = 0
    """Requests without a fault that got no whole answer."""
    examples: list[str] = field(default_factory=list)


class Client:
    """One client: a connection, a stream of requests, and what came of them."""

    def __init__(self, number: int, port: int, faults: float) -> None:
        self.number = number
        self.port = port
        self.faults = faults
        self.random = random.Random(number)
        self.tally = Tally()
        self.connection: Connection | None = None

    def run(self, stopped: Callable[[], bool]) -> None:
        """Ask until `stopped()`."""
        while not stopped():
            self.ask()
        self.disconnect()

    def ask(self) -> None:
        """Send one request, with a fault at the given probability."""
        wrong = self.random.random() < self.faults
        route = self.random.choice(WRONG if wrong else RIGHT)
        self.tally.requests += 1
        self.tally.faults += wrong
        user = f"u{self.number}-{self.tally.requests}"
        for _ in range(1 + (self.connection is not None)):  # a kept connection may have been closed meanwhile
            try:
                body = self._fetch(f"/{route}/{user}", leave=route == "reset")
            except OSError:
                self.disconnect()
            else:
                self._check(route, user, body)
                return
        self.tally.unanswered += not wrong

    def disconnect(self) -> None:
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def _check(self, route: str, user: str, body: bytes) -> None:
        own = b"nobody" if route == "anonymous" else user.encode()
        if any(name != own for name in NAMES.findall(body)):
            self.tally.foreign += 1
            self.tally.examples.append(f"/{route} as {user}: {body[:80]!r}")

    def _fetch(self, path: str, *, leave: bool) -> bytes:
        """The body of the answer, whole; with `leave`, reset the connection when some of it has come."""
        if self.connection is None:
            self.connection = Connection(self.port)
        connection = self.connection
        connection.send_raw(b"GET %b HTTP/1.1\r\nHost: localhost\r\n\r\n" % path.encode())
        data = _receive(connection.socket)
        while b"\r\n\r\n" not in data:
            data += _receive(connection.socket)
        if leave:
            connection.reset()
            self.connection = None
            return b""
        head, _, body = data.partition(b"\r\n\r\n")
        body = _whole(connection.socket, head, body)
        if b"onnection: close" in head:
            self.disconnect()
        return body


def _whole(socket: socket.socket, head: bytes, body: bytes) -> bytes:
    """The rest of the body, by its length or in chunks (RFC 9112, section 6)."""
    length = LENGTH.search(head)
    while len(body) < int(length[1]) if length else not body.endswith(b"0\r\n\r\n"):
        body += _receive(socket)
    return body


def _receive(socket: socket.socket) -> bytes:
    data = socket.recv(65536)
    if not data:
        raise ConnectionResetError("the server closed the connection")
    return data
