"""How coroutines and unpatched greenlets see a scope: a context variable has the scopes that they run in.

What a context variable holds goes along into tasks, into callbacks of the event loop and into `asyncio.to_thread`. It
is consulted only where no scope is bound to the thread, so that it can never hide a request that the thread serves.

Not every event loop gives each task a context of its own. Where that is unknown, a scope is attached together with the
coroutine that its task consists of, and only code that this coroutine calls or awaits sees it.
"""

from __future__ import annotations

import functools
import sys
import threading
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from tlctx._core.flows import outermost_coroutine
from tlctx._core.implementation import peek_dict
from tlctx._core.namespace import Namespace, OutsideNamespace, ended_namespace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from tlctx._core.context import RequestContext
    from tlctx._core.scope import Scope

__all__ = ["attach", "attached_namespace", "detach", "namespace_of", "propagate", "put_back", "take_off"]

Attached = tuple["Scope", "FrameType | None"]

_attached: ContextVar[tuple[Attached, ...]] = ContextVar("tlctx.attached", default=())


def attach(scope: Scope) -> None:
    """Have what is started from here on see `scope`, until `detach`."""
    _start_threads_without_scopes()
    _attached.set(((scope, outermost_coroutine()), *_open_but(scope)))


def detach(scope: Scope) -> None:
    """Undo `attach`, in any order. A task that began in between keeps the scope, and is refused once it has ended."""
    _attached.set(_open_but(scope))


def _open_but(scope: Scope) -> tuple[Attached, ...]:
    # An event loop may close an async generator in another task, where `detach` does not reach what was attached here.
    return tuple(each for each in _attached.get() if each[0] is not scope and not each[0].ended)


@contextmanager
def propagate(scope: Scope) -> Iterator[None]:
    """A block in which coroutines, tasks and `asyncio.to_thread` that are started see `scope`."""
    attach(scope)
    try:
        yield
    finally:
        detach(scope)


def take_off(scope: Scope) -> tuple[Attached, ...]:
    """Detach `scope` for as long as code runs that is none of its request's. Returns what `put_back` wants."""
    before = _attached.get()
    if len(before) == 1 and before[0][0] is scope:
        _attached.set(())
    elif before:
        detach(scope)
    return before


put_back = _attached.set
"""Attach what `take_off` has returned, in the very place: nothing else, and no scope that was not there."""


def namespace_of(context: RequestContext) -> Namespace:
    """What `context` reads from here and now: a scope's namespace, or one that refuses any use."""
    bound: Namespace | None = peek_dict(context)
    return attached_namespace(context) if bound is None else bound


def attached_namespace(context: RequestContext) -> Namespace:
    """What `context` reads from where no scope is bound to the thread."""
    for scope, coroutine in _attached.get():
        if scope.context is context and (coroutine is None or coroutine is outermost_coroutine()):
            return ended_namespace(scope) if scope.ended else scope.namespace
    return OutsideNamespace(context)


def _start_threads_without_scopes() -> None:
    """Have threads not inherit what is attached where they are started.

    Where threads inherit context variables (`-X thread_inherit_context`, the default of free-threaded builds), a pool's
    thread would keep the scopes of whichever request happened to start it.
    """
    start = threading.Thread.start
    done: tuple[object, ...] = getattr(start, "_tlctx_without", ())  # a test run has two copies of this module
    if not getattr(sys.flags, "thread_inherit_context", False) or _attached in done:
        return

    @functools.wraps(start)
    def start_without_scopes(thread: threading.Thread) -> None:
        token = _attached.set(())
        try:
            start(thread)
        finally:
            _attached.reset(token)

    start_without_scopes._tlctx_without = (*done, _attached)  # type: ignore[attr-defined]
    threading.Thread.start = start_without_scopes  # type: ignore[method-assign,assignment]
