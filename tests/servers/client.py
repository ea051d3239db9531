"""Clients that can misbehave: HTTP/1.1 and HTTP/2 over a raw socket, which they may reset at any point.

What a server sends is never an exception here: an answer that breaks off says so.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse
from typing import TYPE_CHECKING, Any

from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.exceptions import ProtocolError

if TYPE_CHECKING:
    from typing import Self

PATIENCE = 20.0
"""Seconds after which a silent server is taken to have failed."""


@dataclass
class Answer:
    """What came back: no status if nothing did, `broken` if it ended before its end."""

    status: int | None = None
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    broken: str = ""
    reusable: bool = False
    """Whether the server keeps the connection for another request."""


class Connection:
    """A socket to the server at `port` on this machine."""

    def __init__(self, port: int, *, receive_buffer: int = 0, patience: float = PATIENCE) -> None:
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(patience)
        self.socket.connect(("127.0.0.1", port))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send_raw(self, data: bytes) -> None:
        self.socket.sendall(data)

    def receive_some(self, size: int, pause: float = 0.0) -> int:
        """Receive `size` bytes of whatever the server sends, or all there is, with a pause in seconds between pieces.

        Returns how many came.
        """
        received = 0
        while received < size:
            data = self.socket.recv(min(65536, size - received))
            if not data:
                break
            received += len(data)
            self._take(data)
            time.sleep(pause)
        return received

    def _take(self, data: bytes) -> None:
        """Let the protocol see what was received."""

    def reset(self) -> None:
        """Reset the connection: the server's next write fails."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        if self.socket.fileno() >= 0:
            os.close(self.socket.detach())  # at once, also if a file was made of the socket


class _OneFile:
    """Lets several answers be read from one buffered file, as pipelining requires."""

    def __init__(self, file: Any) -> None:
        self.file = file

    def makefile(self, *_: Any) -> Any:
        return self

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def close(self) -> None:
        pass


def _request(path: str, method: str, *, close: bool = False) -> bytes:
    last = "Connection: close\r\n" if close else ""
    return f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{last}\r\n".encode()


class Http1(Connection):
    """HTTP/1.1 (RFC 9112)."""

    def __init__(self, port: int, *, receive_buffer: int = 0, patience: float = PATIENCE) -> None:
        super().__init__(port, receive_buffer=receive_buffer, patience=patience)
        self._file = _OneFile(self.socket.makefile("rb"))
        self._closing = False

    def send(self, path: str, method: str = "GET", *, close: bool = False) -> None:
        self._closing = close
        self.send_raw(_request(path, method, close=close))

    def receive(self, method: str = "GET") -> Answer:
        """One answer, read to its end."""
        answer = Answer()
        response = HTTPResponse(self._file, method=method)  # type: ignore[arg-type]
        try:
            response.begin()
            answer.status, answer.headers = response.status, response.getheaders()
            while data := response.read1(1 << 20):
                answer.body += data if len(answer.body) < 1 << 20 else b""
            if response.length:
                answer.broken = f"{response.length} bytes are missing"
        except (HTTPException, OSError, ValueError) as error:
            answer.broken = f"{type(error).__name__}: {error}"
        answer.reusable = not answer.broken and not response.will_close and not self._closing
        return answer

    def ask(self, path: str, method: str = "GET", *, close: bool = False) -> Answer:
        try:
            self.send(path, method, close=close)
        except OSError as error:
            return Answer(broken=f"{type(error).__name__}: {error}")
        return self.receive(method)

    def ask_at_once(self, paths: list[str], method: str = "GET") -> list[Answer]:
        """Send all requests before reading the first answer; `method` is that of the first."""
        methods = [method] + ["GET"] * (len(paths) - 1)
        self.send_raw(b"".join(map(_request, paths, methods)))
        answers: list[Answer] = []
        for each in methods:
            answers.append(self.receive(each))
            if not answers[-1].reusable:
                break
        return answers


class Http2(Connection):
    """HTTP/2 over cleartext with prior knowledge (RFC 9113, section 3.3)."""

    def __init__(self, port: int, *, receive_buffer: int = 0, patience: float = PATIENCE) -> None:
        super().__init__(port, receive_buffer=receive_buffer, patience=patience)
        self._h2 = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self._h2.initiate_connection()
        self._answers: dict[int, Answer] = {}
        self._ended: set[int] = set()
        self._flush()

    def send(self, path: str, method: str = "GET", *, close: bool = False) -> int:
        """`close` changes nothing: a stream ends by itself."""
        stream = self._h2.get_next_available_stream_id()
        fields = [(":method", method), (":path", path), (":scheme", "http"), (":authority", "localhost")]
        self._answers[stream] = Answer()
        self._h2.send_headers(stream, fields, end_stream=True)
        self._flush()
        return stream

    def receive(self, stream: int | str | None = None) -> Answer:
        """The answer on `stream`, or on the last one opened."""
        number = stream if isinstance(stream, int) else max(self._answers)
        answer = self._answers[number]
        try:
            while number not in self._ended:
                data = self.socket.recv(65536)
                if not data:
                    raise ConnectionError("the server closed the connection")
                self._take(data)
        except (OSError, ProtocolError) as error:
            answer.broken = f"{type(error).__name__}: {error}"
        answer.reusable = not answer.broken
        return answer

    def ask(self, path: str, method: str = "GET", *, close: bool = False) -> Answer:
        try:
            return self.receive(self.send(path, method))
        except OSError as error:
            return Answer(broken=f"{type(error).__name__}: {error}")

    def ask_at_once(self, paths: list[str], method: str = "GET") -> list[Answer]:
        methods = [method] + ["GET"] * (len(paths) - 1)
        streams = [self.send(path, each) for path, each in zip(paths, methods, strict=True)]
        return [self.receive(stream) for stream in streams]

    def _take(self, data: bytes) -> None:
        for event in self._h2.receive_data(data):
            answer = self._answers.get(getattr(event, "stream_id", None) or 0, Answer())
            if isinstance(event, events.ResponseReceived):
                fields = [(str(name), str(value)) for name, value in event.headers]
                answer.status, answer.headers = int(dict(fields)[":status"]), fields[1:]
            elif isinstance(event, events.DataReceived):
                answer.body += event.data
                self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, events.StreamEnded):
                self._ended.add(event.stream_id)
            elif isinstance(event, events.StreamReset):
                answer.broken = f"the server reset the stream: {event.error_code!r}"
                self._ended.add(event.stream_id)
        self._flush()

    def _flush(self) -> None:
        self.socket.sendall(self._h2.data_to_send())
