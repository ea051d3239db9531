"""Which flow of execution runs here, where several take turns on one thread: coroutines, and unpatched greenlets.

They have one thread's dict between them, so a scope is not bound to their thread: it is attached to a context variable,
which each of them has for itself (see `propagation.py`). Greenlets count as threads where gevent or eventlet has
patched `threading.local`.
"""

from __future__ import annotations

import inspect
import sys
import threading
from typing import TYPE_CHECKING

from tlctx._core.threads import storage

if TYPE_CHECKING:
    from types import FrameType

__all__ = ["has_coroutine_frame", "in_coroutine", "in_unpatched_greenlet"]

_modules = sys.modules
_COROUTINE = inspect.CO_COROUTINE | inspect.CO_ITERABLE_COROUTINE | inspect.CO_ASYNC_GENERATOR


def in_coroutine() -> bool:
    """Whether an event loop runs on this thread."""
    asyncio = _modules.get("asyncio")
    get_running_loop = getattr(asyncio, "_get_running_loop", None)  # missing while another thread imports it
    if get_running_loop is not None and get_running_loop() is not None:
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


def in_unpatched_greenlet() -> bool:
    """Whether a greenlet runs here that `threading.local` does not tell from the others on its thread."""
    getcurrent = getattr(_modules.get("greenlet"), "getcurrent", None)
    if getcurrent is None or getcurrent().parent is None:  # the thread's own one has no parent
        return False
    if threading.local is not storage.kind:
        storage.refresh()
    return type(storage.here).__module__ == "_thread"  # the interpreter's own; gevent patches `_thread` too
