"""A real Redis server for tests, at a loopback port, with all that it is told."""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import subprocess
import tempfile
import threading
from base64 import b64decode
from typing import TYPE_CHECKING

from support.helpers import PATIENCE, missing
from support.processes import free_port, stopping, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

_BODY = re.compile(rb'\\"body\\": \\"([^\\"]+)\\"')


@contextlib.contextmanager
def redis_server(port: int = 0) -> Iterator[int]:
    """The port of a new, empty server that keeps nothing on disk; by default one that is free."""
    program = shutil.which("redis-server")
    if program is None:
        missing("a Redis server: Debian's package is named redis-server")
    port = port or free_port()
    with tempfile.TemporaryDirectory(prefix="redis") as folder:
        settings = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", folder, "--loglevel", "warning"]
        process = subprocess.Popen([program, "--port", str(port), *settings], stdout=subprocess.DEVNULL)
        with stopping(process):
            wait_for(port, process)
            yield port


@contextlib.contextmanager
def recorded(port: int) -> Iterator[list[bytes]]:
    """A list that has, after the block, each command that the server got in it; what base64 hides is added in clear."""
    commands: list[bytes] = []
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        connection.sendall(b"MONITOR\r\n")
        lines = connection.makefile("rb")
        assert lines.readline() == b"+OK\r\n"
        reader = threading.Thread(target=lambda: commands.extend(iter(lines.readline, b"")))
        reader.start()
        yield commands
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as other:
            other.sendall(b"PING the-end\r\n")  # it comes after all that was sent before
            other.recv(100)
        connection.shutdown(socket.SHUT_RDWR)
        reader.join(PATIENCE)
    assert b"the-end" in commands[-1]
    commands += [b64decode(body) for command in commands for body in _BODY.findall(command)]
