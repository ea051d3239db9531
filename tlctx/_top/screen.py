"""The terminal: one picture, or one each second until somebody presses q."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live

from tlctx._top.client import Client, RefusedError, TopError
from tlctx._top.keys import keys
from tlctx._top.picture import Picture

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType
    from typing import Any

__all__ = ["show_once", "watch"]

REDRAW = 0.25
"""Seconds between two looks at the keyboard and at the size of the terminal."""
WIDTH_OF_FILES = 160


def show_once(client: Client) -> None:
    """Print one picture."""
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else WIDTH_OF_FILES
    console = Console(width=width, highlight=False, markup=False, emoji=False)
    with _understood():
        console.print(Picture(client.ask(), client.address, whole=True))


def watch(client: Client, every: float) -> None:
    """Show pictures until somebody presses q or Ctrl-C, or a signal ends the program."""
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        raise TopError("This is no terminal: use --once.")
    asker = _Asker(client, every)
    asker.ask()  # what is wrong from the start is said before the screen is taken
    if asker.failed is not None:
        raise asker.failed
    threading.Thread(target=asker.run, name="tlctx top", daemon=True).start()
    screen = Live(console=console, screen=True, auto_refresh=False)
    with _signals() as received, _understood(), keys() as pressed, screen as live:
        while not received:
            if isinstance(asker.failed, RefusedError):
                raise asker.failed
            live.update(asker.picture(), refresh=True)
            if pressed(REDRAW) in ("q", "Q", "\x03", "\x04"):
                return


@contextlib.contextmanager
def _signals() -> Iterator[list[int]]:
    """A block that ends when this list has SIGTERM or SIGHUP; the program's status is then 128 and its number.

    A handler that raised could leave the terminal half changed. A second signal kills at once, as a terminal may block.
    """
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        received.append(number)
        signal.signal(number, signal.SIG_DFL)

    noted = [signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
    for number in noted:
        if signal.getsignal(number) is signal.SIG_DFL:  # nohup ignores SIGHUP, and so do we
            signal.signal(number, note)
    try:
        yield received
    except Exception:
        if not received:  # else the terminal has gone, and takes nothing any more
            raise
    if received:
        raise SystemExit(128 + received[0])


@contextlib.contextmanager
def _understood() -> Iterator[None]:
    """A block in which an answer that lacks something is the server's fault."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise TopError(f"The answer can't be shown: it lacks something ({type(error).__name__}).") from None


class _Asker:
    """Asks again and again, on a thread of its own: a server that hangs doesn't keep q from leaving."""

    def __init__(self, client: Client, every: float) -> None:
        self._client, self._every = client, every
        self._view: dict[str, Any] = {}
        self._heard = ""
        self.failed: TopError | None = None

    def run(self) -> None:
        while not isinstance(self.failed, RefusedError):
            time.sleep(self._every)
            self.ask()

    def ask(self) -> None:
        try:
            self._view = self._client.ask()
        except TopError as error:
            self.failed = error
        else:
            self._heard, self.failed = time.strftime("%H:%M:%S"), None

    def picture(self) -> Picture:
        failed = self.failed
        notice = "" if failed is None else f"{failed} What is shown is from {self._heard}."
        return Picture(self._view, self._client.address, notice, f"{self._heard} · q leaves")
