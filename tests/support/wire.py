"""A server that records the bytes of each request that reaches it, before any parser."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING
from urllib.parse import unquote

from support.helpers import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator


class Wire:
    """What came in, one entry for each request; it answers `/to/URL` with a redirect to that URL."""

    def __init__(self, listening: socket.socket) -> None:
        self._listening = listening
        self.port: int = listening.getsockname()[1]
        self.host = f"127.0.0.1:{self.port}"
        self.url = f"http://{self.host}"
        self.requests: list[bytes] = []

    def headers(self, number: int = -1) -> dict[str, str]:
        """The headers of one request by their names in lower case; a test fails where one comes twice."""
        head = self.requests[number].partition(b"\r\n\r\n")[0].decode("latin-1")
        pairs = [line.partition(":") for line in head.split("\r\n")[1:]]
        found = {name.lower(): value.strip() for name, _, value in pairs}
        assert len(found) == len(pairs)
        return found

    def serve(self) -> None:
        with contextlib.suppress(OSError):  # it was closed
            while True:
                connection, _ = self._listening.accept()
                with connection:
                    self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        connection.settimeout(PATIENCE)
        received = b""
        while b"\r\n\r\n" not in received:
            part = connection.recv(65536)
            if not part:
                return
            received += part
        self.requests.append(received)
        path = received.split(b" ")[1].decode()
        head = "HTTP/1.1 200 OK"
        if path.startswith("/to/"):
            head = f"HTTP/1.1 307 Temporary Redirect\r\nLocation: {unquote(path.removeprefix('/to/'))}"
        elif path == "/digest" and b"Authorization" not in received:
            head = 'HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Digest realm="r", nonce="n", qop="auth"'
        connection.sendall(f"{head}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())


@contextlib.contextmanager
def recording() -> Iterator[Wire]:
    """A server on a free loopback port, on a thread of its own."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        wire = Wire(listening)
        thread = threading.Thread(target=wire.serve)
        thread.start()
        try:
            yield wire
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join(PATIENCE)
            assert not thread.is_alive(), "the recording server hangs"
