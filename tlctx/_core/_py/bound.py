"""The block in which a scope is bound, in plain Python: `tlctx/_core/_c/bound.h` has the same in C."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tlctx._core._py.scope import ScopeBase
from tlctx._core.namespace import NOT_BOUND

if TYPE_CHECKING:
    from types import TracebackType

    from tlctx._core.scope import Scope

__all__ = ["bound"]


class bound:  # used as a function, as contextlib's `suppress` is
    """A block in which `scope` is current on this thread; afterwards the thread is as it was before.

    A scope may be bound any number of times, on any thread, by one thread at a time. Leaving the block does not close
    it. Raises TypeError for what is no Scope. Entering raises RequestEndedError if the scope has ended.
    """

    __slots__ = ("_displaced", "_scope")

    def __init__(self, scope: Scope) -> None:
        if not isinstance(scope, ScopeBase):
            raise TypeError(f"bound() needs a Scope, not {type(scope).__name__}")
        self._scope = scope
        self._displaced: Any = NOT_BOUND

    def __enter__(self) -> Scope:
        try:
            self._displaced = self._scope.bind()
            return self._scope
        except BaseException:
            self.__exit__(None, None, None)
            raise

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if self._displaced is not NOT_BOUND:
                self._scope.unbind(self._displaced)
            self._displaced = NOT_BOUND
        except BaseException:
            if self._displaced is not NOT_BOUND:
                self._scope.restore(self._displaced)
            raise
