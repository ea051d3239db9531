"""What integrations stand on: scopes that are made, bound and closed by hand, and observers of all of them.

A framework's integration makes a `Scope` for each request, binds it around each piece of the request's code, and closes
it once:

    scope = Scope(ctx, source=message, label=f"job {message.name}")
    try:
        with bound(scope):
            run(message)
    except BaseException as error:
        scope.close(error)
        raise
    scope.close()

Where there is just one block of code, `with scope:` does all of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tlctx._core.observers import Observer, add_observer, remove_observer
from tlctx._core.propagation import propagate
from tlctx._core.scope import Scope, open_scopes

if TYPE_CHECKING:
    from types import TracebackType

    from tlctx._core.namespace import Namespace

__all__ = ["Observer", "Scope", "add_observer", "bound", "open_scopes", "propagate", "remove_observer"]


class bound:  # used as a function, as contextlib's `suppress` is
    """A block in which `scope` is current on this thread; afterwards the thread is as it was before.

    A scope may be bound any number of times, on any thread, by one thread at a time. Leaving the block does not close
    it. Raises RequestEndedError if the scope has ended.
    """

    __slots__ = ("_displaced", "_scope")

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._displaced: Namespace | None = None

    def __enter__(self) -> Scope:
        self._displaced = self._scope.bind()
        return self._scope

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        displaced, self._displaced = self._displaced, None
        self._scope.unbind(displaced)
