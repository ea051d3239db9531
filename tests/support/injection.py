"""Raises an exception at one chosen point of tlctx's own code: a line, or where this Python looks for signals.

CPython handles a signal when a function begins, when a loop goes back, and after a call of something that is written in
C. Between other instructions nothing can arrive; those are counted only.
"""

from __future__ import annotations

import dis
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tlctx

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = str(Path(tlctx.__file__).parent)
LOOKS_AFTER = {
    number
    for name, number in dis.opmap.items()
    if name.startswith(("CALL", "JUMP_BACKWARD", "RESUME")) and not name.startswith("CALL_INTRINSIC")
}


class Struck(BaseException):
    """What arrives from outside."""


class Point:
    """One place in tlctx's code that a run passes. Points are numbered in the order in which the run passes them."""

    def __init__(self, number: int, frame: Any, kind: str) -> None:
        self.number = number
        self.function = frame.f_code.co_qualname
        self.where = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
        self.kind = kind

    def __repr__(self) -> str:
        return f"{self.number}: {self.where} {self.function} ({self.kind})"


class Injector:
    """Counts the points of a run, and raises at one of them, if `at` says which."""

    def __init__(self, at: int = 0) -> None:
        self.at = at
        self.points: list[Point] = []
        self.others = 0  # instructions after which no signal is handled
        self.struck: Point | None = None
        self._before: dict[Any, int] = {}  # the last instruction of each frame
        self._called: set[Any] = set()  # frames whose last instruction has called Python code

    @contextmanager
    def active(self) -> Iterator[None]:
        """A block in which the points count."""
        tracer = sys.gettrace()  # that of coverage, if it is measured
        sys.settrace(self._enter)
        try:
            yield
        finally:
            sys.settrace(tracer)
            self._before.clear()
            self._called.clear()

    def _enter(self, frame: Any, event: str, argument: Any) -> Any:
        if frame.f_back is not None:
            self._called.add(frame.f_back)
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        frame.f_trace_opcodes = True
        self._point(frame, "entry")
        return self._trace

    def _trace(self, frame: Any, event: str, argument: Any) -> Any:
        if event == "line":
            self._before.pop(frame, None)
            self._point(frame, "line")
        elif event == "opcode":
            before = self._before.get(frame)
            if before in LOOKS_AFTER and frame not in self._called:
                self._point(frame, "signal")
            else:
                self.others += 1
            self._before[frame] = frame.f_code.co_code[frame.f_lasti]
            self._called.discard(frame)
        return self._trace

    def _point(self, frame: Any, kind: str) -> None:
        if self.struck is not None:
            return
        number = len(self.points) + 1
        self.points.append(Point(number, frame, kind))
        if number == self.at:
            self.struck = self.points[-1]
            raise Struck
