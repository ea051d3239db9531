"""The processes beside this one on its machine: each has a socket, at which the others ask it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from tlctx.inspector._directory import check_private, private_directory
from tlctx.inspector._listener import Listener
from tlctx.inspector._merge import unreached
from tlctx.inspector._peers import ask_all, sockets_in
from tlctx.inspector._texts import shown
from tlctx.inspector._wire import frames_from, view_from

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tlctx.inspector._model import Frame, View

__all__ = ["Workers"]

_TIMES = 3


class Workers:
    """The socket of this process, and those of the others that have the same settings and the same parent."""

    def __init__(self, secret: str, what: str, below: str | None, respond: Callable[[bytes], bytes]) -> None:
        self._settings = secret, what, below
        self._respond = respond
        self._listener: Listener | None = None
        self.trouble: str | None = None

    def start(self) -> None:
        """Answer the others. What is in the way is `trouble`."""
        try:
            self._listener = self._listen()
        except (OSError, AttributeError) as error:  # a system without such sockets lacks the names
            self.trouble = f"only this process is shown, without those beside it: {shown(str(error))}"

    def _listen(self) -> Listener:
        for _ in range(_TIMES):
            with contextlib.suppress(FileNotFoundError):  # the last worker before this one has just removed it
                return Listener(private_directory(*self._settings), self._respond)
        return Listener(private_directory(*self._settings), self._respond)

    def close(self) -> None:
        """Answer no more."""
        if self._listener is not None:
            self._listener.close()
        self._listener = self.trouble = None

    def views(self, host: str, taken: float) -> list[View]:
        """What each of the others serves. One that gives no proper answer is shown as such."""
        views = []
        for path, answer in ask_all(self._others(), b"requests").items():
            pid = _pid_of(path)
            try:
                view = view_from(answer or b"")
                if (view.processes[0].host, view.processes[0].pid) != (host, pid):
                    raise ValueError("it speaks for another one")
            except ValueError as error:
                what = "does not answer in time" if answer is None else f"answers wrongly: {shown(str(error), 100)}"
                view = unreached(host, pid, taken, f"process {pid} {what}")
            views.append(view)
        return views

    def stack(self, pid: int, serial: int) -> tuple[bool, list[Frame] | None]:
        """Whether there is such a process, and the frames of its request, if that is open.

        Raises TimeoutError if the process gives no proper answer.
        """
        paths = [path for path in self._others() if _pid_of(path) == pid]
        answers = ask_all(paths, b"stack %d" % serial)
        for answer in answers.values():
            try:
                frames = frames_from(answer or b"")
            except ValueError:
                raise TimeoutError(f"process {pid} does not answer") from None
            if frames is not None:
                return True, frames
        return bool(answers), None

    def _others(self) -> list[Path]:
        if self._listener is None:
            return []
        try:
            check_private(self._listener.directory)
            own = self._listener.path
            return [path for path in sockets_in(self._listener.directory) if path != own]
        except OSError:
            return []


def _pid_of(path: Path) -> int:
    pid = path.stem.partition("-")[0]
    return int(pid) if pid.isdecimal() and len(pid) < 12 else 0
