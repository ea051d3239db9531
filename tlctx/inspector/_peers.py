"""The workers beside this one: all are asked at once, and none is waited for longer than the others."""

from __future__ import annotations

import contextlib
import selectors
import socket
import time
from typing import TYPE_CHECKING

from tlctx.inspector._listener import sweep
from tlctx.inspector._wire import MOST_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["ask_all", "sockets_in"]

_PATIENCE = 2.0
"""Seconds that all answers together may take."""
_MOST_SOCKETS = 200


def sockets_in(directory: Path) -> list[Path]:
    """The sockets in the directory, in a bounded number."""
    return sorted(path for path in directory.iterdir() if path.suffix == ".sock")[:_MOST_SOCKETS]


def ask_all(paths: Iterable[Path], question: bytes) -> dict[Path, bytes | None]:
    """What each has answered, which may be anything; None for one that did not in time. The dead are left out."""
    answers: dict[Path, bytes | None] = {}
    deadline = time.monotonic() + _PATIENCE
    with contextlib.ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        for path in paths:
            connection = stack.enter_context(socket.socket(socket.AF_UNIX))
            connection.setblocking(False)
            try:
                connection.connect(str(path))
                connection.sendall(question + b"\n")
            except (ConnectionRefusedError, FileNotFoundError):
                sweep(path)
                continue
            except OSError:
                answers[path] = None
                continue
            answers[path] = None
            selector.register(connection, selectors.EVENT_READ, (path, bytearray()))
        while selector.get_map() and (left := deadline - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                _receive(selector, key, answers)
    return answers


def _receive(selector: selectors.BaseSelector, key: selectors.SelectorKey, answers: dict[Path, bytes | None]) -> None:
    path, received = key.data
    connection: socket.socket = key.fileobj  # type: ignore[assignment]
    try:
        part = connection.recv(1 << 16)
    except BlockingIOError:
        return
    except OSError:
        selector.unregister(connection)
        return
    received += part
    if not part or len(received) > MOST_BYTES:
        selector.unregister(connection)
        if not part:
            answers[path] = bytes(received)
