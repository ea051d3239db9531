"""The observer: which requests are open, and what became of the others.

It runs between the lines of each request, so it does as little as it can, and takes no lock: whatever it changes, it
changes by one step of a dict or a deque. What has ended is looked at later, many requests at once.
"""

from __future__ import annotations

from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Any
from weakref import ref

from tlctx._routes import ROUTE, route_of
from tlctx.inspector._history import History
from tlctx.inspector._source import words_of
from tlctx.lowlevel import Observer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tlctx import RequestContext
    from tlctx.inspector._history import Ended
    from tlctx.inspector._source import Words
    from tlctx.lowlevel import Scope

__all__ = ["Recorder"]

_AT_ONCE = 128
_MOST_WAITING = 10_000


class Recorder(Observer):
    """Records the requests of one context in this process. With the first one it calls `start`."""

    def __init__(self, context: RequestContext, start: Callable[[], None]) -> None:
        self.context = context
        self._start = start
        self.reset()

    def reset(self) -> None:
        """Forget all that was observed."""
        self._started = False
        self.history = History()
        # By serial a reference to the scope, weak because what nobody leaves is closed when it is collected; and its
        # source, which it has let go of when we are told of its end.
        self.open: dict[int, tuple[ref[Scope], Any]] = {}
        self._ended: deque[Ended] = deque(maxlen=_MOST_WAITING)
        self._turn = deque([None])  # whoever has what is in it may change the history

    def begin(self, scope: Scope) -> None:
        """Note that it is open."""
        if scope.context is self.context:
            if not self._started:
                self._started = True
                self._start()
            self.open[scope.serial] = ref(scope), scope.source

    def end(self, scope: Scope, error: BaseException | None) -> None:
        """Note how it ended."""
        entry = self.open.pop(scope.serial, None)
        if entry is None:
            return
        source, ended = entry[1], self._ended
        words: Words | None
        try:  # the usual case, in short
            words = source["REQUEST_METHOD"], source["SCRIPT_NAME"], source["PATH_INFO"]
            route = source[ROUTE] if ROUTE in source else route_of(source)
        except (KeyError, TypeError):
            words, route = words_of(source), route_of(source)
        ended.append((monotonic(), scope, words, route, None if error is None else type(error).__name__))
        if len(ended) >= _AT_ONCE:
            self.catch_up()

    def drop(self, scope: Scope) -> None:
        """Note that its body was dropped: `end` follows, with no error."""
        if scope.serial in self.open:
            self.history.dropped.append(scope.serial)

    def forget(self, scopes: Iterable[Scope]) -> None:
        """Leave out these scopes: they are of a request for the view itself."""
        for scope in scopes:
            self.open.pop(scope.serial, None)

    def catch_up(self) -> None:
        """Take into the history what has ended, unless another thread does so just now."""
        batch: list[Ended] = []
        try:
            turn = self._turn.pop()
        except IndexError:
            return
        try:
            while True:
                batch.append(self._ended.popleft())
        except IndexError:
            self.history.add(batch)
        finally:
            self._turn.append(turn)
