"""The observer: which requests are open, and what became of the others.

It runs between the lines of each request, so it does as little as possible, and takes no lock: what it changes, it
changes by one step of a dict or a deque. What has ended is looked at later, some requests at once.
"""

from __future__ import annotations

from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Any
from weakref import ref

from tlctx._routes import route_of
from tlctx.inspector._history import History
from tlctx.inspector._source import method_and_path
from tlctx.lowlevel import Observer

if TYPE_CHECKING:
    from tlctx import RequestContext
    from tlctx.lowlevel import Scope

__all__ = ["Recorder"]

_AT_ONCE = 64
_MOST_WAITING = 10_000


class Recorder(Observer):
    """Records the requests of one context in this process."""

    def __init__(self, context: RequestContext) -> None:
        self.context = context
        self.open: dict[int, tuple[ref[Scope], Any]] = {}
        self.history = History()
        self._waiting: deque[Any] = deque(maxlen=_MOST_WAITING)
        self._turn = deque([None])  # whoever has what is in it may change the history

    def begin(self, scope: Scope) -> None:
        """Note that it is open. Weakly: a scope that nobody leaves is closed when it is collected."""
        if scope.context is self.context:
            self.open[scope.serial] = ref(scope), scope.source

    def end(self, scope: Scope, error: BaseException | None) -> None:
        """Note how it ended."""
        entry = self.open.pop(scope.serial, None)
        if entry is None:
            return
        source = entry[1]
        waiting = self._waiting
        waiting.append((scope, monotonic(), *method_and_path(source), route_of(source), error and type(error).__name__))
        if len(waiting) >= _AT_ONCE:
            self.catch_up()

    def forget(self, scopes: Any) -> None:
        """Leave out these scopes: they are of a request for the view itself."""
        for scope in scopes:
            self.open.pop(scope.serial, None)

    def catch_up(self) -> None:
        """Take into the history what has ended, unless another thread does so just now."""
        try:
            turn = self._turn.pop()
        except IndexError:
            return
        try:
            while True:
                self.history.add(*self._waiting.popleft())
        except IndexError:
            pass
        finally:
            self._turn.append(turn)

