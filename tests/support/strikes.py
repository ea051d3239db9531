"""Strikes a piece of work at each line with which tlctx binds, unbinds and ends a scope, in this process.

`injection` strikes wherever CPython looks for signals, at some thousands of points. Here are the calls and lines alone
that a test has to miss if they do nothing.
"""

from __future__ import annotations

import gc
from itertools import count
from typing import TYPE_CHECKING, Any

from support.injection import PACKAGE, Injector, Struck

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["LineInjector", "Struck", "strikes_at_each_line"]

FUNCTIONS = {
    "bind", "_displace", "_attach_here", "unbind", "restore", "run", "call", "__enter__", "__exit__", "leave",
    "_call_iter", "__next__", "close", "__del__", "_close_failed", "claim_end", "_on_drop", "_on_step_error",
    "_on_close", "_on_close_error", "close_after", "enter",
}  # fmt: skip
"""What binds, unbinds and ends."""


class LineInjector(Injector):
    """Raises Struck at one call or line of those; each counts once for each function that calls it."""

    def __init__(self, at: int = 0) -> None:
        super().__init__(at)
        self._passed: set[tuple[Any, ...]] = set()

    def _enter(self, frame: Any, event: str, argument: Any) -> Any:
        code = frame.f_code
        if code.co_name not in FUNCTIONS or not code.co_filename.startswith(PACKAGE):
            return None
        return self._trace(frame, "entry", None)

    def _trace(self, frame: Any, event: str, argument: Any) -> Any:
        if event in ("entry", "line"):
            place = (frame.f_back.f_code, frame.f_code, frame.f_lineno, event)
            if place not in self._passed:
                self._passed.add(place)
                self._point(frame, event)
        return self._trace


def strikes_at_each_line(work: Callable[[LineInjector], None]) -> Iterator[LineInjector]:
    """Run `work` once for each of these lines that it passes, and yield after each of the runs.

    The work gets an injector, and makes it active around what may be struck.
    """
    for number in count(1):
        injector = LineInjector(number)
        try:
            work(injector)
        except Struck:
            pass
        except KeyError:  # as in `struck`: where a handler begins, CPython may go on with what was to be handled
            if injector.struck is None:
                raise
        if injector.struck is None:
            return
        gc.collect()
        yield injector
