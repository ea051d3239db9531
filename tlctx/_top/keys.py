"""The keyboard, key by key, where the system lets programs read it so."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

try:
    import termios
    import tty
except ImportError:  # Windows: Ctrl-C leaves
    termios = None  # type: ignore[assignment]

__all__ = ["keys"]


@contextlib.contextmanager
def keys() -> Iterator[Callable[[float], str]]:
    """A function that waits so many seconds for a key, and returns it or ""; the terminal is as before afterwards."""
    if termios is None or not sys.stdin.isatty():
        yield _sleep
        return
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)

    def pressed(patience: float) -> str:
        ready, _, _ = select.select([terminal], [], [], patience)
        if not ready:
            return ""
        read = os.read(terminal, 1)
        return read.decode("ascii", "replace") if read else "\x04"  # the terminal has gone

    try:
        tty.setcbreak(terminal)
        yield pressed
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _sleep(patience: float) -> str:
    time.sleep(patience)
    return ""
