"""A thread of the system's, also where gevent or eventlet has patched `threading`.

The view answers for its process from such a thread. A greenlet would answer when the others let it: not while one is
stuck, which is when somebody looks. What runs there must keep to what nobody patches: `_socket`, not `socket`.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["sleep", "start_thread"]


def start_thread(function: Callable[[], None]) -> None:
    """Have a new thread of the system call `function`. No exit waits for it."""
    _original("_thread", "start_new_thread")(function, ())


def sleep(seconds: float) -> None:
    """Have this thread of the system sleep."""
    _original("time", "sleep")(seconds)


def _original(module: str, name: str) -> Any:
    """What the module has under that name where nobody has patched it."""
    gevent, eventlet = sys.modules.get("gevent.monkey"), sys.modules.get("eventlet.patcher")
    if gevent is not None:
        return gevent.get_original(module, name)
    found = sys.modules[module] if eventlet is None else eventlet.original(module)
    return getattr(found, name)
