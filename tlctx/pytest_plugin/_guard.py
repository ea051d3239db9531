"""The guard: which scopes a test has left open, and which thread keeps one."""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
import weakref
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple

from tlctx import Scope
from tlctx.lowlevel import Observer, add_observer, close_reporting, remove_observer

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Guard"]

_LIBRARIES = ("site-packages", "dist-packages", threading.__file__.removesuffix("threading.py"))
"""What is in the path of code that is not the user's; the last is the standard library."""


class _Begun(NamedTuple):
    scope: weakref.ref[Scope]
    thread: str
    place: str


class Guard(Observer):
    """Notes the scopes that begin and end, from now until `finish`."""

    def __init__(self, wait: float) -> None:
        self._wait = wait
        self._begun: dict[int, _Begun] = {}
        self._unleft: list[str] = []
        self._ends: SimpleQueue[int] = SimpleQueue()  # a finalizer may put something there at any point
        self._away = False
        add_observer(self)

    def begin(self, scope: Scope) -> None:
        """Note it, and where."""
        if not self._away:
            self._begun[scope.serial] = _Begun(weakref.ref(scope), threading.current_thread().name, _caller())

    def end(self, scope: Scope, error: BaseException | None) -> None:
        """Forget it, unless it had to be closed because nobody left it."""
        begun = self._begun.pop(scope.serial, None)
        if begun and isinstance(error, RuntimeError) and str(error) == f"{scope} was entered and never left":
            self._unleft.append(f"{scope}, entered {begun.place} on thread {begun.thread!r} and never left")
        self._ends.put(scope.serial)

    @contextmanager
    def looking_away(self) -> Iterator[None]:
        """A block of which nothing is noted."""
        self._away = True
        try:
            yield
        finally:
            self._away = False

    def finish(self) -> str:
        """Note nothing any more. Returns which scopes are open, or were left so; an empty text if none are."""
        try:
            if self._begun:
                self._collect()
                self._wait_for_other_threads()
            left = [*self._unleft, *filter(None, map(_describe, list(self._begun.values())))]
            self._close_those_of_this_thread()
        finally:
            remove_observer(self)
        if not left:
            return ""
        if len(left) == 1:
            return f"the test left a scope open: {left[0]}"
        return "\n  ".join([f"the test left {len(left)} scopes open:", *left])

    def _open(self) -> list[Scope]:
        scopes = [begun.scope() for begun in list(self._begun.values())]
        return [scope for scope in scopes if scope is not None and not scope.ended]

    def _collect(self) -> None:
        """Have those end that nobody holds any more, and those whose body was read to its end."""
        gc.collect()
        for scope in self._open():
            for body in gc.get_referrers(scope):
                if _was_read(body):
                    body.close()

    def _wait_for_other_threads(self) -> None:
        """A server's thread may still be closing what the client has received."""
        until = time.monotonic() + self._wait
        while any(scope.thread != threading.get_ident() for scope in self._open()):
            try:
                self._ends.get(timeout=max(0, until - time.monotonic()))
            except Empty:
                return

    def _close_those_of_this_thread(self) -> None:
        """What they left would make tests fail that come later; other threads may still be using theirs."""
        for scope in reversed(self._open()):
            if scope.thread == threading.get_ident():
                with suppress(Exception):  # it is logged
                    close_reporting(scope)
                scope.leave()


def _was_read(thing: object) -> bool:
    """Whether it is the body of a response, and was read to its end."""
    is_body = any(base.__name__ == "ScopedIterator" for base in type(thing).__mro__)
    return is_body and bool(thing._exhausted)  # type: ignore[attr-defined]


def _describe(begun: _Begun) -> str:
    scope = begun.scope()
    if scope is None:
        return ""
    text = f"{scope}, begun {begun.place} on thread {begun.thread!r}"
    if scope.thread == threading.get_ident():
        return text
    keeper = next((thread for thread in threading.enumerate() if thread.ident == scope.thread), None)
    if keeper is None:
        return f"{text}; the thread that had it last has ended"
    return f"{text}; thread {keeper.name!r}, which still runs, had it last"


def _caller() -> str:
    """Where the innermost code of the user's stands that is above tlctx."""
    frame: Any = sys._getframe(2)
    first = None
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module != "tlctx" and not module.startswith("tlctx."):
            first = first or frame
            if not any(part in frame.f_code.co_filename for part in _LIBRARIES):
                break
        frame = frame.f_back
    frame = frame or first
    if frame is None:
        return "where no Python code runs"
    file = frame.f_code.co_filename
    return f"at {file.removeprefix(os.path.join(os.getcwd(), ''))}:{frame.f_lineno}"
