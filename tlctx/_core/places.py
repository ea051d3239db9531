"""Where a context is used without a request: what runs there, and what brings the request's values to it.

Nothing here runs before an error is certain. What runs is told from the callers, the inner one first, and from the
thread or greenlet that they run on.
"""

from __future__ import annotations

import functools
import sys
import threading
from contextvars import Context
from types import BuiltinMethodType
from typing import TYPE_CHECKING

from tlctx._core.flows import has_coroutine_frame, in_coroutine, in_unpatched_greenlet
from tlctx._core.threads import current_record

if TYPE_CHECKING:
    from types import FrameType

__all__ = ["advice"]

_NOWHERE = (
    "a context holds values only while ContextMiddleware serves a request on this very thread, or inside "
    "`with ctx.scope(...):`. In a script, a job or a test, open a scope with that."
)
_OTHERWISE = "the code there gets a copy of the values; work of no request opens `with ctx.scope(...):`."
_POOL = (
    "a context holds values on its request's thread, and this is a worker of a pool. Make the pool with "
    "`tlctx.threads.ThreadPoolExecutor(contexts=[ctx])`, or hand it `tlctx.threads.wrap(function, ctx)`, and "
    f"{_OTHERWISE}"
)
_OTHER_POOL = (
    "a context holds values on its request's thread, and this is a worker of a pool. Hand the pool "
    f"`tlctx.threads.wrap(function, ctx)`, and {_OTHERWISE}"
)
_LOOPS_POOL = (
    "a context holds values on its request's thread, and `loop.run_in_executor` passes none on. Call "
    "`asyncio.to_thread(function)`, which shares what the coroutine sees, or hand the loop "
    f"`tlctx.threads.wrap(function, ctx)`, and {_OTHERWISE}"
)
_THREAD = (
    "a context holds values on its request's thread, and this is another one. Start it as "
    "`tlctx.threads.Thread(..., contexts=[ctx])`, or with the target `tlctx.threads.wrap(function, ctx)`, and "
    f"{_OTHERWISE}"
)
_TIMER = (
    "a context holds values on its request's thread, and this is a timer's. Start it as "
    f"`tlctx.threads.Timer(..., contexts=[ctx])`, and {_OTHERWISE}"
)
_FOREIGN_THREAD = (
    "a context holds values on its request's thread, and this is one that `threading` did not start. Around a server's "
    "application belongs ContextMiddleware; in a thread that a request starts, run "
    f"`tlctx.threads.wrap(function, ctx)`, and {_OTHERWISE}"
)
_GEVENT = (
    "a context holds values in its request's greenlet, and this is another one. Start it with "
    "`tlctx.threads.gevent.spawn(..., contexts=[ctx])`, or in a `tlctx.threads.gevent.Pool(contexts=[ctx])`, and "
    f"{_OTHERWISE}"
)
_GREENLET = (
    "a context holds values in its request's greenlet, and this is another one. Have it run "
    f"`tlctx.threads.wrap(function, ctx)`, and {_OTHERWISE}"
)
_TASK = (
    "a coroutine, and a thread that it calls, sees the scope in which its task was made, and this one was made in "
    "none. Serve an ASGI application through `tlctx.asgi.ContextMiddleware`; in a WSGI request, start the event loop "
    "or the task inside `with tlctx.lowlevel.propagate(Scope.current(ctx)):`; elsewhere open `with ctx.scope(...):`."
)
_PROCESS = (
    "a context holds values in its request's process, and this is another one. Pass what it needs as arguments, and "
    "open a scope with them: `with ctx.scope(...):`."
)

_BY_CALLER = {
    "multiprocessing.pool": _OTHER_POOL,
    "gevent.threadpool": _OTHER_POOL,
    "eventlet.tpool": _OTHER_POOL,
    # These hand over the coroutine's context variables, so the coroutine saw nothing either.
    "asgiref.sync": _TASK,
    "anyio._backends._asyncio": _TASK,
    "trio._threads": _TASK,
}
"""What to say on a thread whose job a function of this module calls."""


def advice() -> str:
    """Why there is no request here, and what to do: the end of an error's text."""
    if in_coroutine() or has_coroutine_frame():
        return _TASK
    if in_unpatched_greenlet():
        return _in_greenlet()
    thread = current_record().thread
    if thread is threading.main_thread():
        return _PROCESS if _is_in_child_process() else _NOWHERE
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        name = frame.f_globals.get("__name__")
        if name == "concurrent.futures.thread":
            return _in_pool(frame, thread.name)
        if isinstance(name, str) and name in _BY_CALLER:
            return _BY_CALLER[name]
        frame = frame.f_back
    if isinstance(thread, threading.Thread):
        return _TIMER if isinstance(thread, threading.Timer) else _THREAD
    greenlet = sys.modules.get("greenlet")
    return _FOREIGN_THREAD if greenlet is None or greenlet.getcurrent().parent is None else _in_greenlet()


def _in_pool(frame: FrameType, thread: str) -> str:
    """What to say on `thread`, the worker of a pool, where `frame` calls the job."""
    if not thread.startswith("asyncio_"):  # as asyncio names the workers of its own pool
        return _POOL
    job = frame.f_locals.get("fn") or getattr(frame.f_locals.get("self"), "fn", None)
    if isinstance(job, functools.partial):
        job = job.func
    handed_over = isinstance(job, BuiltinMethodType) and isinstance(job.__self__, Context)
    return _TASK if handed_over else _LOOPS_POOL


def _in_greenlet() -> str:
    kind = getattr(sys.modules.get("gevent"), "Greenlet", None)
    return _GREENLET if kind is None or not isinstance(sys.modules["greenlet"].getcurrent(), kind) else _GEVENT


def _is_in_child_process() -> bool:
    parent_process = getattr(sys.modules.get("multiprocessing.process"), "parent_process", None)
    return parent_process is not None and parent_process() is not None
