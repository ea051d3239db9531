"""How a request that has not ended is described in a log: who it is, where it runs, and its stack.

What a client chose, the path, is in the scope's text, which escapes it. A thread's name may be anything too.
"""

from __future__ import annotations

import threading
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tlctx.gunicorn._threads import is_patched
from tlctx.lowlevel import is_running, stack_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from traceback import FrameSummary

    from tlctx import Scope

__all__ = ["MOST_STACKS", "describe", "format_stack", "without_hooks"]

MOST_STACKS = 20
"""How many stacks are read at once. One of a task takes milliseconds, and an arbiter does not wait for long."""

_LONGEST_NAME = 100
_HANDLERS = ("handle_abort", "handle_abort_signal")
"""The functions in which gunicorn's workers handle the signal, above whatever it interrupted."""

_threading: Any = threading  # for what is not public in it


def describe(scope: Scope, *, with_stack: bool = True) -> str:
    """What `scope` does, to be put after its name and age: "on thread gthread_1 (1234), 3 chunks sent", and a stack."""
    chunks = f", {scope.chunks} chunk{'' if scope.chunks == 1 else 's'} sent" if scope.chunks else ""
    if not is_running(scope):
        return f"no code of it runs now{chunks}, it was last on {_thread_of(scope)}"
    stack = without_hooks(stack_of(scope)) if with_stack else []
    return f"on {_thread_of(scope)}{chunks}{format_stack(stack)}"


def format_stack(stack: Iterable[FrameSummary]) -> str:
    """The lines of a stack, after a line break; nothing for an empty one."""
    lines = "".join(traceback.format_list(list(stack))).rstrip()
    return f"\n{lines}" if lines else ""


def without_hooks(stack: list[FrameSummary]) -> list[FrameSummary]:
    """The stack without what a signal called on top of it: gunicorn's handler, and the hooks."""
    for number, frame in enumerate(stack):
        if frame.name in _HANDLERS and Path(frame.filename).parent.name == "workers":
            return stack[:number]
    ours = str(Path(__file__).parent)
    return [frame for frame in stack if str(Path(frame.filename).parent) != ours]


def _thread_of(scope: Scope) -> str:
    # Without the lock of `threading`, which the thread that is stuck may hold.
    thread = _threading._active.get(scope.thread)
    if thread is None:
        return f"{'greenlet' if is_patched() else 'thread'} {scope.thread}"
    return f"thread {ascii(str(thread.name))[1:-1][:_LONGEST_NAME]} ({scope.thread})"
