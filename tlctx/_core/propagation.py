"""How coroutines and unpatched greenlets see a scope: a context variable has the scopes that they run in.

What a context variable holds goes along into tasks, into callbacks of the event loop and into `asyncio.to_thread`. It
is consulted only where no scope is bound to the thread, so that it can never hide a request that the thread serves.
"""

from __future__ import annotations

from contextvars import copy_context
from typing import TYPE_CHECKING

from tlctx._core.attached import attached_scopes
from tlctx._core.flows import in_coroutine
from tlctx._core.implementation import attach, attached_namespace, detach, namespace_of

if TYPE_CHECKING:
    from contextvars import Context
    from types import TracebackType

    from tlctx._core.attached import Attached
    from tlctx._core.scope import Scope

__all__ = [
    "attach",
    "attached_namespace",
    "copy_variables",
    "detach",
    "namespace_of",
    "propagate",
    "put_back",
    "take_off",
]

take_off = detach
"""Detach a scope for as long as code runs that is none of its request's. Returns what `put_back` wants."""

put_back = attached_scopes.set
"""Attach what `take_off` has returned, in the very place: nothing else, and no scope that was not there."""


class propagate:  # used as a function, as `bound` is
    """A block in which coroutines, tasks and `asyncio.to_thread` that are started see `scope`.

    Entering raises TypeError for what is no Scope.
    """

    __slots__ = ("_before", "_scope")

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._before: tuple[Attached, ...] = ()

    def __enter__(self) -> None:
        self._before = attached_scopes.get()
        try:
            attach(self._scope)
        except BaseException:
            detach(self._scope)
            raise

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self._detach()
        except BaseException:
            self._detach()
            raise

    def _detach(self) -> None:
        detach(self._scope)
        if not in_coroutine():  # asgiref's `async_to_sync` brings back what its coroutine attached and never detached
            attached_scopes.set(tuple([each for each in attached_scopes.get() if each in self._before]))


def copy_variables() -> Context:
    """A copy of the current context of `contextvars`, without the scopes that are attached."""
    copied = copy_context()
    copied.run(attached_scopes.set, ())
    return copied
