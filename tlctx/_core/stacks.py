"""Where code of a request stands now: the stack of its thread or greenlet, and of the tasks that run in its scope.

Theory of operation
===================

A scope that is bound is found from the dict of the thread that it was last bound to: that dict is its namespace, or the
namespace of a scope above it. Each of these leads to the next one down by what it displaced.

A scope that is attached is looked for in the context variables of every task: the collector's list has them all,
whatever event loop they are of. That takes milliseconds in a large process. A task that a library has waiting for a
thread is followed by the stack of that thread.

Threads run on meanwhile. So a stack counts only if its thread still has the scope when it has been read.
"""

from __future__ import annotations

import functools
import gc
import sys
import threading
import traceback
from contextvars import Context
from types import BuiltinMethodType
from typing import TYPE_CHECKING, Any

from tlctx._core.attached import attached_scopes
from tlctx._core.threads import record_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from traceback import FrameSummary
    from types import FrameType

    from tlctx._core.scope import Scope
    from tlctx._core.threads import ThreadRecord

__all__ = ["is_running", "stack_of"]

Place = tuple["FrameType", int]
"""A frame, and the line at which it stood."""

_modules = sys.modules
_JOINTS = {"asgiref", "asyncio", "anyio", "trio"}
"""Packages in which code of one flow waits for another."""
_MOST = 8
"""Tasks of one request whose stacks are read."""


def is_running(scope: Scope) -> bool:
    """Whether code of its request runs now, or waits in a task or a greenlet.

    That is so while the scope is bound to a thread, and, for one that is attached, from its begin to its end. It is not
    so between two chunks of a streamed body. Takes the same time however many scopes there are.
    """
    return not scope.ended and (scope._attached or _record_that_has(scope) is not None)


def stack_of(scope: Scope) -> list[FrameSummary]:
    """Where code of its request stands now, the outermost call first.

    That is the stack of the thread or greenlet to which the scope is bound. Where it is attached, it is that of the
    task, from its coroutine on, with what that awaits; those of other tasks that see the scope, and of threads that
    work for them, follow. Empty where no code of the request runs: between two chunks of a streamed body, before the
    begin and after the end.

    Made for a diagnostic page: for a task it walks the whole heap, milliseconds in a large process. It shows no values.
    """
    if scope.ended or not scope.thread:
        return []
    places = _places_where_bound(scope)
    if scope._attached or any(_package_of(frame) in _JOINTS for frame, _ in places):
        places += _places_where_attached(scope)
    return traceback.StackSummary.extract(iter(places), lookup_lines=True)


def _record_that_has(scope: Scope) -> ThreadRecord | None:
    """The record of the thread, or greenlet, to which the scope is bound; None if it is bound to none."""
    record = record_of(scope.thread)
    if record is None:
        return None
    reference, namespace = scope.context._local__impl.dicts.get(record.key, (None, None))
    if reference is None or reference() is not record.thread:
        return None
    above: list[Any] = []
    while (owner := getattr(namespace, "scope", None)) is not None and owner not in above:
        if owner is scope:
            return record
        above.append(owner)
        namespace = owner._displaced if owner._below is None else owner._below
    return None


def _places_where_bound(scope: Scope) -> list[Place]:
    record = _record_that_has(scope)
    if record is None:
        return []
    frame = _frame_of_greenlet(record.greenlet()) if record.greenlet else sys._current_frames().get(record.ident)
    places = _places_below(frame)
    return places if _record_that_has(scope) is record else []


def _places_below(frame: FrameType | None, outermost: FrameType | None = None) -> list[Place]:
    """Where the callers of `frame` stand, and itself, from `outermost` on; without the functions of this module."""
    found: list[Place] = []
    while frame is not None:
        if frame.f_globals is not globals():
            found.append((frame, frame.f_lineno))
        frame = None if frame is outermost else frame.f_back
    return found[::-1]


def _frame_of_greenlet(greenlet: Any) -> FrameType | None:
    if greenlet is None or greenlet.dead:
        return None
    frame: FrameType | None = greenlet.gr_frame
    if frame is not None:  # it is suspended
        return frame
    while greenlet is not None and getattr(greenlet, "thread_ident", None) is None:  # as gevent's hub has it
        greenlet = greenlet.parent
    if greenlet is not None:
        ident = greenlet.thread_ident
    else:
        ident = getattr(_modules.get("gevent.hub"), "MAIN_THREAD_IDENT", threading.main_thread().ident)
    return sys._current_frames().get(ident)


def _package_of(frame: FrameType) -> str:
    name = frame.f_globals.get("__name__")
    return name.partition(".")[0] if isinstance(name, str) else ""


def _places_where_attached(scope: Scope) -> list[Place]:
    threads = list(map(_places_below, sys._current_frames().values()))
    found = [(_rank(task, scope), chain) for task in _tasks() if (chain := _places_of(task, threads, scope))]
    found.sort(key=lambda pair: pair[0])
    chains = [chain for _, chain in found[:_MOST]]
    chains += filter(None, (_places_after_job(places, scope) for places in threads))
    return [] if scope.ended else [place for chain in chains for place in chain]


def _tasks() -> Iterator[Any]:
    """All tasks and suspended greenlets of this process."""
    kinds = tuple(filter(None, (getattr(_modules.get(module), name, None) for module, name in _KINDS)))
    return (thing for thing in gc.get_objects() if issubclass(type(thing), kinds)) if kinds else iter(())


_KINDS = (
    ("asyncio", "Task"), ("asyncio.tasks", "_PyTask"), ("trio.lowlevel", "Task"), ("greenlet", "greenlet"),
)  # fmt: skip


def _rank(task: Any, scope: Scope) -> tuple[bool, int]:
    """The place of a task among those of its request: the one that the middleware runs in comes first, then by age."""
    name = str(getattr(task, "get_name", str)()).rpartition("-")[2]
    serves = any(_is_serving(frame, scope) for frame in _frames_awaited(task))
    return not serves, int(name) if name.isdecimal() else sys.maxsize


def _is_serving(frame: FrameType, scope: Scope) -> bool:
    """Whether `frame` is the middleware's for ASGI, which detaches the scope while it waits for the server."""
    return frame.f_globals.get("__name__") == "tlctx.asgi" and frame.f_locals.get("own") is scope


def _places_of(task: Any, threads: list[list[Place]], scope: Scope) -> list[Place]:
    """Where the task stands, if it is one of the scope's."""
    frames = list(_frames_awaited(task))
    if not frames or not (_has_attached(_context_of(task), scope) or any(_is_serving(each, scope) for each in frames)):
        return []
    for places in threads:
        for number, (frame, _) in enumerate(places):
            if frame is frames[0]:
                return places[number:]
    return [(frame, frame.f_lineno) for frame in frames]


def _context_of(task: Any) -> Any:
    for name in ("context", "_context"):  # trio's, and asyncio's in Python
        if isinstance(context := getattr(task, name, None), Context):
            return context
    try:
        return task.gr_context
    except (AttributeError, ValueError):  # no greenlet, or one that runs on another thread
        return next((each for each in gc.get_referents(task) if isinstance(each, Context)), None)


def _has_attached(context: Any, scope: Scope) -> bool:
    return isinstance(context, Context) and any(each is scope for each, _ in context.get(attached_scopes, ()))


def _frames_awaited(task: Any) -> Iterator[FrameType]:
    """The frame of the task's coroutine and of each that it awaits, or those of a suspended greenlet."""
    if (frame := getattr(task, "gr_frame", None)) is not None:
        yield from [frame for frame, _ in _places_below(frame)]
        return
    awaited = task.get_coro() if hasattr(task, "get_coro") else getattr(task, "coro", None)
    while awaited is not None:
        for kind in ("cr", "gi", "ag"):
            if hasattr(awaited, f"{kind}_frame"):
                if (frame := getattr(awaited, f"{kind}_frame")) is not None:
                    yield frame
                awaited = getattr(awaited, "gi_yieldfrom" if kind == "gi" else f"{kind}_await")
                break
        else:  # a step of an async generator, for example, refers to it and tells nobody
            awaited = next((each for each in gc.get_referents(awaited) if _is_suspended(each)), None)


def _is_suspended(thing: Any) -> bool:
    return any(hasattr(thing, name) for name in ("cr_frame", "gi_frame", "ag_frame"))


def _places_after_job(places: list[Place], scope: Scope) -> list[Place]:
    """Where a thread stands in a job that a library runs there with the context variables of a task of the scope."""
    for number, (frame, _) in enumerate(places):
        if frame.f_globals.get("__name__") in _POOLS and any(
            _has_attached(each, scope) for each in _contexts_in(frame)
        ):
            return places[number + 1 :]
    return []


_POOLS = ("concurrent.futures.thread", "anyio._backends._asyncio", "asgiref.sync", "trio._threads")
"""Modules with functions that run jobs so, whose variables have the context."""


def _contexts_in(frame: FrameType) -> Iterable[Context]:
    for value in list(frame.f_locals.values()):
        job = getattr(value, "fn", value)
        job = job.func if isinstance(job, functools.partial) else job
        if isinstance(job, Context):
            yield job
        elif isinstance(job, BuiltinMethodType) and isinstance(job.__self__, Context):
            yield job.__self__
