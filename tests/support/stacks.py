"""Code that hangs, and where code of a request stands."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable, Iterator

from support.helpers import PATIENCE

from tlctx import Scope
from tlctx.lowlevel import is_running, stack_of

_LEFT_OUT = re.compile(r"/lib/python(?!.*/site-packages/tlctx/)|/tlctx/_core/")


class Stuck:
    """Code that hangs until it is let go."""

    def __init__(self) -> None:
        self.here = threading.Event()
        self.go = threading.Event()

    def hang(self) -> None:
        self.here.set()
        assert self.go.wait(PATIENCE)  # it hangs here


@contextlib.contextmanager
def hanging(run: Callable[[Stuck], object]) -> Iterator[Stuck]:
    """A block during which another thread has called `run`, which hangs."""
    stuck = Stuck()
    thread = threading.Thread(target=run, args=(stuck,))
    thread.start()
    try:
        assert stuck.here.wait(PATIENCE)
        yield stuck
    finally:
        stuck.go.set()
        thread.join(PATIENCE)
    assert not thread.is_alive()


def functions(scope: Scope) -> list[str]:
    """The functions in which it stands, but for those of the interpreter's library and the core."""
    return [frame.name for frame in stack_of(scope) if not _LEFT_OUT.search(frame.filename)]


def lines(scope: Scope) -> list[str | None]:
    """The lines of code on which it stands."""
    return [frame.line for frame in stack_of(scope)]


def is_nowhere(scope: Scope) -> bool:
    return not is_running(scope) and stack_of(scope) == []
