"""How coroutines see a scope: they share their thread, so a context variable has the scopes that they run in.

What a context variable holds goes along into tasks, into callbacks of the event loop and into `asyncio.to_thread`. It
is consulted only where no scope is bound to the thread, so that it can never hide a request that the thread serves.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from tlctx._core.implementation import peek_dict
from tlctx._core.namespace import OUTSIDE, Namespace, ended_namespace
from tlctx._core.threads import in_coroutine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tlctx._core.context import RequestContext
    from tlctx._core.scope import Scope

__all__ = ["attach", "attached_namespace", "detach", "namespace_of", "propagate"]

_attached: ContextVar[tuple[Scope, ...]] = ContextVar("tlctx.attached", default=())


def attach(scope: Scope) -> None:
    """Have what is started from here on see `scope`, until `detach`."""
    _attached.set((scope, *_attached.get()))


def detach(scope: Scope) -> None:
    """Undo `attach`, in any order. A task that began in between keeps the scope, and is refused once it has ended."""
    _attached.set(tuple(other for other in _attached.get() if other is not scope))


@contextmanager
def propagate(scope: Scope) -> Iterator[None]:
    """A block in which coroutines, tasks and `asyncio.to_thread` that are started see `scope`."""
    attach(scope)
    try:
        yield
    finally:
        detach(scope)


def namespace_of(context: RequestContext) -> Namespace:
    """What `context` reads from here and now: a scope's namespace, or one that refuses any use."""
    bound: Namespace | None = peek_dict(context)
    return attached_namespace(context) if bound is None else bound


def attached_namespace(context: RequestContext) -> Namespace:
    """What `context` reads from where no scope is bound to the thread."""
    for scope in _attached.get():
        if scope.context is context and _may_use_attached():
            return ended_namespace(scope) if scope.ended else scope.namespace
    return OUTSIDE


def _may_use_attached() -> bool:
    # Where threads inherit context variables, a pool's thread keeps those of the request that happened to start it.
    return in_coroutine() or not getattr(sys.flags, "thread_inherit_context", False)
