"""The `with` block of a scope, in plain Python: `_c/running.h` and `_c/ending.h` have the same in C."""

from __future__ import annotations

import inspect
import sys
from typing import TYPE_CHECKING, Any, Self

from tlctx._core.namespace import ENDED
from tlctx._core.teardown import unfinished

if TYPE_CHECKING:
    from collections.abc import Callable

    from tlctx._core.namespace import Namespace

__all__ = ["Block"]

_GENERATORS = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


class Block:
    """How a scope is entered and left, and what the collector does with one that was never left."""

    __slots__ = ("_by_generator", "_error")

    def __enter__(self) -> Self:
        fresh = not self.thread
        try:
            self._by_generator = bool(sys._getframe(1).f_code.co_flags & _GENERATORS)
            self._enter()
            return self
        except BaseException as error:
            if fresh:
                self.__exit__(type(error), error, None)
            raise

    def __exit__(self, exc_type: Any, exc: BaseException | None, traceback: Any) -> None:
        try:
            self.leave(exc)
        except BaseException:
            if self.namespace is not ENDED:
                self._error, unfinished[self.serial] = exc or self._error, (self, self._close_late)
            self.leave(exc)  # does what was struck, and nothing twice
            raise

    def __del__(self) -> None:
        try:
            unleft = self.namespace is not ENDED and self.thread
        except AttributeError:  # it was never made
            return
        if unleft:
            unfinished[self.serial] = self, self._close_late
            self.close_unleft()

    namespace: Namespace
    serial: int
    thread: int
    _by_generator: bool
    _error: BaseException | None
    _enter: Callable[[], None]
    _close_late: Callable[[], None]
    close_unleft: Callable[[], None]
    leave: Callable[[BaseException | None], None]
