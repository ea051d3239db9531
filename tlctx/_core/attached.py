"""The context variable with the scopes that coroutines and unpatched greenlets run in, and what is read from it.

Not every event loop gives each task a context of its own. Where that is unknown, a scope is attached together with the
coroutine that its task consists of, and only code that this coroutine calls or awaits sees it.
"""

from __future__ import annotations

import functools
import sys
import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING

from tlctx._core.flows import outermost_coroutine
from tlctx._core.namespace import Namespace, OutsideNamespace, ended_namespace

if TYPE_CHECKING:
    from types import FrameType

    from tlctx._core.context import RequestContext
    from tlctx._core.scope import Scope

__all__ = ["Attached", "attached_namespace", "attached_scopes", "start_threads_without_scopes"]

Attached = tuple["Scope", "FrameType | None"]
"""A scope, and the coroutine whose callees alone see it; None where its task has a context of its own."""

attached_scopes: ContextVar[tuple[Attached, ...]] = ContextVar("tlctx.attached", default=())


def attached_namespace(context: RequestContext) -> Namespace:
    """What `context` reads from where no scope is bound to the thread."""
    for scope, coroutine in attached_scopes.get():
        if scope.context is context and (coroutine is None or coroutine is outermost_coroutine()):
            return ended_namespace(scope) if scope.ended else scope.namespace
    return OutsideNamespace(context)


def start_threads_without_scopes() -> None:
    """Have threads not inherit what is attached where they are started.

    Where threads inherit context variables (`-X thread_inherit_context`, the default of free-threaded builds), a pool's
    thread would keep the scopes of whichever request happened to start it.
    """
    start = threading.Thread.start
    done: tuple[object, ...] = getattr(start, "_tlctx_without", ())  # a test run has two copies of this module
    if not getattr(sys.flags, "thread_inherit_context", False) or attached_scopes in done:
        return

    @functools.wraps(start)
    def start_without_scopes(thread: threading.Thread) -> None:
        token = attached_scopes.set(())
        try:
            start(thread)
        finally:
            attached_scopes.reset(token)

    start_without_scopes._tlctx_without = (*done, attached_scopes)  # type: ignore[attr-defined]
    threading.Thread.start = start_without_scopes  # type: ignore[method-assign,assignment]
