"""How coroutines see a scope: they share their thread, so a context variable carries it where the slot is empty.

What a context variable holds goes along into tasks, into callbacks of the event loop and into `asyncio.to_thread`. It
is consulted only where no scope is bound to the thread, so that it can never hide a request that the thread serves.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from tlctx._core.lifetime import in_coroutine
from tlctx._core.local import peek_dict
from tlctx._core.namespace import OUTSIDE, Namespace, ended_namespace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tlctx._core.context import RequestContext
    from tlctx._core.scope import Scope

__all__ = ["carried_namespace", "carry", "carrying", "namespace_of", "uncarry"]

_carried: ContextVar[tuple[Scope, ...]] = ContextVar("tlctx.carried", default=())


def carry(scope: Scope) -> None:
    """Have what is started from here on see `scope`, until `uncarry`."""
    _carried.set((scope, *_carried.get()))


def uncarry(scope: Scope) -> None:
    """Undo `carry`, in whatever order. A task that began in between keeps it, and is refused once it has ended."""
    _carried.set(tuple(other for other in _carried.get() if other is not scope))


@contextmanager
def carrying(scope: Scope) -> Iterator[None]:
    """`carry` for the time of a block."""
    carry(scope)
    try:
        yield
    finally:
        uncarry(scope)


def namespace_of(context: RequestContext) -> Namespace:
    """What `context` reads from here and now: a scope's namespace, or one that refuses any use."""
    bound: Namespace | None = peek_dict(context)
    return carried_namespace(context) if bound is None else bound


def carried_namespace(context: RequestContext) -> Namespace:
    """What `context` reads from where no scope is bound to the thread."""
    for scope in _carried.get():
        if scope.context is context and _may_carry():
            return ended_namespace(scope) if scope.ended else scope.namespace
    return OUTSIDE


def _may_carry() -> bool:
    # Where threads inherit context variables, a pool's thread keeps those of the request that happened to start it.
    return in_coroutine() or not getattr(sys.flags, "thread_inherit_context", False)
