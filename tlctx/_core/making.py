"""Once a request is once a request, also where several threads share it: the first to need a value makes it.

The others wait for that one value alone. If its maker raises, the next of them tries. A maker that needs its own value,
directly or through a maker on another thread, would wait for ever: that is an error.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from tlctx._core.teardown import check_stack
from tlctx._core.threads import ThreadRecord, current_record

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["once"]


class _Making:
    """A value that is being made: by which thread, and the lock that it holds until it is done."""

    __slots__ = ("done", "name", "thread")

    def __init__(self, name: str, thread: ThreadRecord) -> None:
        self.name = name
        self.thread = thread
        self.done = threading.Lock()  # looked up late: gevent may have patched it
        self.done.acquire()


_running: dict[tuple[int, str], _Making] = {}
"""By the scope's serial number and the value's name. An entry is there only while the value is being made."""

_awaited: dict[int, _Making] = {}
"""What a thread waits for, by the id of its record."""


def once(serial: int, name: str, values: dict[str, Any], make: Callable[[], Any]) -> Any:
    """The value under `name` in `values`, which are those of scope `serial`; `make()` makes it if there is none.

    Raises RuntimeError if `make` needs the value that it makes, and what `make` raises.
    """
    key = serial, name
    mine = _Making(name, current_record())
    while True:
        making = _running.setdefault(key, mine)
        if making is mine:
            return _make(key, values, make)
        _wait_for(making, mine.thread)
        if name in values:
            return values[name]


def _make(key: tuple[int, str], values: dict[str, Any], make: Callable[[], Any]) -> Any:
    try:
        check_stack()  # so that there is enough to note the end below
        name = key[1]
        if name not in values:  # another thread has made it since the caller looked
            values[name] = make()
        return values[name]
    finally:
        making = _running.pop(key, None)
        if making is not None:
            making.done.release()


def _wait_for(making: _Making, thread: ThreadRecord) -> None:
    _awaited[id(thread)] = making
    try:
        _refuse_circle(making, thread)
        with making.done:
            pass
    finally:
        _awaited.pop(id(thread), None)


def _refuse_circle(making: _Making, thread: ThreadRecord) -> None:
    """Raise if whoever makes the value waits, directly or through others, for one that `thread` makes."""
    needed: _Making | None = making
    for _ in range(len(_awaited) + 1):  # a circle of others is found by one of them
        if needed is None:
            return
        if needed.thread is thread:
            raise RuntimeError(
                f"per_request {making.name!r} can't be made: its method needs that very value, directly or through "
                "other per_request values"
            )
        needed = _awaited.get(id(needed.thread))
