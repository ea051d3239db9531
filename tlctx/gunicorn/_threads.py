"""A thread of the operating system, also where gevent has made greenlets of those of `threading`.

A greenlet could not tell who blocks the hub that it waits for.
"""

from __future__ import annotations

import _thread
import sys
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["is_patched", "make_lock", "start_thread"]

_NAMES = "allocate_lock", "start_new_thread"
_at_import = tuple(getattr(_thread, name) for name in _NAMES)


def is_patched() -> bool:
    """Whether what `threading` starts is a greenlet."""
    return threading.local.__module__ != "_thread"


def _real(name: str) -> Any:
    monkey = sys.modules.get("gevent.monkey")
    if monkey is None:
        return _at_import[_NAMES.index(name)]
    return monkey.get_original("_thread", name)


def make_lock() -> Any:
    """A lock on which a thread, and not just a greenlet, waits."""
    return _real("allocate_lock")()


def start_thread(function: Callable[[], object], name: str) -> None:
    """Run `function` on a new daemon thread."""
    if is_patched():
        _real("start_new_thread")(function, ())
    else:
        threading.Thread(target=function, name=name, daemon=True).start()
