"""The socket at which a process answers the workers beside it: what it serves, and where a request stands."""

from __future__ import annotations

import _socket
import contextlib
import os
import re
import stat
import time
from typing import TYPE_CHECKING, Any

from tlctx.inspector._directory import check_private
from tlctx.inspector._native import start_thread

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["LONGEST_QUESTION", "Listener", "sweep"]

LONGEST_QUESTION = 200
_PATIENCE = 2.0  # for a question, and for its answer to be taken
_LOOK_AFTER = 30.0  # seconds after which it looks whether its socket is still there
_YOUNG = 10.0  # seconds in which a new socket may not be listened at yet
_NAMES = 100
_NAME = re.compile("tlctx-[0-9a-f]{24}")


class Listener:
    """Answers each question with what `respond(question)` returns."""

    def __init__(self, directory: Path, respond: Callable[[bytes], bytes]) -> None:
        self.directory = directory
        self._pid = os.getpid()
        self._respond = respond
        self.path, self._socket = _listen(directory)
        start_thread(self._run)

    def _run(self) -> None:
        sweep_beside(self.directory)
        while self._socket is not None:
            try:
                connection = _socket.socket(fileno=self._socket._accept()[0])
            except TimeoutError:
                self._come_back()
            except (AttributeError, OSError):  # it was closed
                return
            else:
                with contextlib.suppress(OSError):
                    self._answer(connection)
                connection.close()

    def _answer(self, connection: Any) -> None:
        connection.settimeout(_PATIENCE)
        question = b""
        while not question.endswith(b"\n"):
            received = connection.recv(LONGEST_QUESTION)
            question += received
            if not received or len(question) > LONGEST_QUESTION:
                return
        try:
            answer = self._respond(question[:-1])
        except Exception:  # noqa: BLE001  # an empty answer is named in the view; a logger might wait for a lock
            return
        connection.sendall(answer)

    def _come_back(self) -> None:
        """Listen at a new socket if somebody has removed the file."""
        if not self.path.exists():
            with contextlib.suppress(OSError):
                before = self._socket
                self.path, self._socket = _listen(self.directory)
                before.close()

    def close(self) -> None:
        """Answer no more. In a process that was forked the socket is the parent's too, and its file stays."""
        listening, self._socket = self._socket, None
        if listening is None:
            return
        if self._pid == os.getpid():
            with contextlib.suppress(OSError):
                listening.shutdown(_socket.SHUT_RDWR)  # wakes the thread
            with contextlib.suppress(OSError):
                self.path.unlink()
                self.directory.rmdir()  # of the last one
        listening.close()


def _listen(directory: Path) -> tuple[Path, Any]:
    listening: Any = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    for number in range(_NAMES):
        path = directory / f"{os.getpid()}{f'-{number}' if number else ''}.sock"
        try:
            listening.bind(str(path))
        except OSError:
            if number + 1 == _NAMES or not path.exists():
                listening.close()
                raise
            continue  # of another inspector, or of a dead process that had our id
        listening.listen(16)
        listening.settimeout(_LOOK_AFTER)
        return path, listening
    raise AssertionError


def sweep(path: Path) -> None:
    """Remove the socket of a process that is dead: nobody listens at it."""
    with contextlib.suppress(OSError):
        found = path.lstat()
        if stat.S_ISSOCK(found.st_mode) and time.time() - found.st_mtime > _YOUNG:
            path.unlink()


def sweep_beside(directory: Path) -> None:
    """Remove the directories that dead servers have left beside this one."""
    with contextlib.suppress(OSError):
        names = [name for name in os.listdir(directory.parent) if _NAME.fullmatch(name) and name != directory.name]
        for name in names[:_NAMES]:
            with contextlib.suppress(OSError):
                _sweep_directory(directory.parent / name)


def _sweep_directory(path: Path) -> None:
    check_private(path)
    if time.time() - path.lstat().st_mtime < _YOUNG:
        return
    for each in sorted(path.iterdir())[:_NAMES]:
        asking: Any = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        asking.settimeout(0.1)
        try:
            asking.connect(str(each))
        except ConnectionRefusedError:
            sweep(each)
        finally:
            asking.close()
    path.rmdir()  # where none is left
