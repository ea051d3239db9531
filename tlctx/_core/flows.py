"""Which flow of execution runs here, where several take turns on one thread: coroutines, and unpatched greenlets.

They have one thread's dict between them, so a scope is not bound to their thread: it is attached to a context variable,
which each of them has for itself (see `propagation.py`). Greenlets count as threads where gevent or eventlet has
patched `threading.local`.
"""

from __future__ import annotations

import inspect
import sys
import threading
from typing import TYPE_CHECKING, Any

from tlctx._core.threads import storage

if TYPE_CHECKING:
    from types import FrameType

__all__ = [
    "cannot_attach",
    "has_coroutine_frame",
    "in_coroutine",
    "in_unpatched_greenlet",
    "outermost_coroutine",
    "shares_thread",
]

_modules = sys.modules
_COROUTINE = inspect.CO_COROUTINE | inspect.CO_ITERABLE_COROUTINE | inspect.CO_ASYNC_GENERATOR


def in_coroutine() -> bool:
    """Whether an event loop runs on this thread."""
    if _asyncio_runs():
        return True
    return ("trio" in _modules or "curio" in _modules) and has_coroutine_frame()


def has_coroutine_frame() -> bool:
    """Whether a coroutine, of whatever event loop, has called what runs here."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_flags & _COROUTINE:
            return True
        frame = frame.f_back
    return False


def outermost_coroutine() -> FrameType | None:
    """The frame of the coroutine that a task consists of, where its event loop may not give each task a context.

    asyncio and trio do. curio does on request, and of an event loop that nobody knows nothing can be told.
    """
    if _asyncio_runs():
        return None
    trio = _modules.get("trio")
    if trio is not None and _runs(trio):
        return None
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and not frame.f_code.co_flags & _COROUTINE:
        frame = frame.f_back
    while frame is not None and frame.f_back is not None and _is_awaited_by(frame.f_back):
        frame = frame.f_back
    return frame


def _asyncio_runs() -> bool:
    # The function is missing while another thread imports the module.
    get_running_loop = getattr(_modules.get("asyncio"), "_get_running_loop", None)
    return get_running_loop is not None and get_running_loop() is not None


def _runs(trio: Any) -> bool:
    try:
        trio.lowlevel.current_task()
    except (AttributeError, RuntimeError):  # another thread imports it, or it runs no task here
        return False
    return True


def _is_awaited_by(frame: FrameType) -> bool:
    """Whether `frame`, which called a coroutine, awaits it, and is no event loop that runs it."""
    return bool(frame.f_code.co_flags & _COROUTINE) or frame.f_code.co_name == "__await__"


def in_unpatched_greenlet() -> bool:
    """Whether a greenlet runs here that `threading.local` does not tell from the others on its thread."""
    getcurrent = getattr(_modules.get("greenlet"), "getcurrent", None)
    if getcurrent is None or getcurrent().parent is None:  # the thread's own one has no parent
        return False
    if threading.local is not storage.kind:
        storage.refresh()
    return type(storage.here).__module__ == "_thread"  # the interpreter's own; gevent patches `_thread` too


def shares_thread() -> bool:
    """Whether what runs here takes turns with others on this thread."""
    return in_coroutine() or has_coroutine_frame() or in_unpatched_greenlet()


def cannot_attach() -> str:
    """Why a scope can't be attached here, where another one is bound to the thread."""
    if in_coroutine() or has_coroutine_frame():
        return (
            "a scope can't be opened in a coroutine while its event loop runs inside another scope of the same "
            "context: tasks that take turns on the thread would see each other's. Open one scope a task instead."
        )
    return (
        "a scope can't be opened in a greenlet while its thread runs inside another scope of the same context: "
        "greenlets that take turns on the thread would see each other's. Have gevent or eventlet patch threading first."
    )
