"""A live view whose answers are made up, and `python -m tlctx top` at a terminal of its own."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import ClassVar

from support.helpers import PATIENCE

Top = Callable[..., tuple[int, str, str]]
TOKEN = "a-token-of-sixteen"


class Handler(http.server.BaseHTTPRequestHandler):
    """The server half of a live view."""

    status = 200
    location = ""
    body = b""
    asked: ClassVar[list[tuple[str, str | None]]]

    def do_GET(self) -> None:
        self.asked.append((self.path, self.headers["Authorization"]))
        status = self.status if self.headers["Authorization"] == f"Bearer {TOKEN}" else 401
        self.send_response(status)
        if self.location:
            self.send_header("Location", self.location)
        self.end_headers()
        self.wfile.write(self.body)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


class Server:
    """A live view whose answers the tests make up."""

    def __init__(self) -> None:
        class OwnHandler(Handler):
            asked: ClassVar[list[tuple[str, str | None]]] = []

        self.handler = OwnHandler
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self.handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}/requests"

    def answers(self, picture: object = None, **attributes: object) -> None:
        body = picture if isinstance(picture, bytes) else json.dumps(picture).encode()
        for name, value in {"body": body, **attributes}.items():
            setattr(self.handler, name, value)

    def __enter__(self) -> Server:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._thread.join(PATIENCE)
        self._server.server_close()


TERMINAL = """
import fcntl, runpy, signal, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # so that it gets the terminal's signals
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell has ignored where tests run in its background
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # as nohup does with this one
runpy.run_module("tlctx", run_name="__main__", alter_sys=True)
"""


@contextlib.contextmanager
def at_a_terminal(
    address: str, columns: int = 60
) -> Iterator[tuple[subprocess.Popen[bytes], int, Callable[[str], None]]]:
    """The program at a terminal of its own; the terminal; and a function that waits for a text on it."""
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    before = termios.tcgetattr(theirs)
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    process = subprocess.Popen(
        [sys.executable, "-c", TERMINAL, "top", "--every=0.2", address],
        stdin=theirs, stdout=theirs, stderr=theirs, env={**environment, "TERM": "xterm"}, start_new_session=True,
    )  # fmt: skip

    def wait_for(text: str) -> None:
        seen = b""
        while text.encode() not in seen:
            seen += os.read(ours, 10_000)

    try:
        yield process, ours, wait_for
        assert termios.tcgetattr(theirs) == before
    finally:
        process.kill()
        process.wait(PATIENCE)
        os.close(ours)
        os.close(theirs)
