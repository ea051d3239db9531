"""The teardown of a scope: a list of parts, run last in first out with the semantics of `contextlib.ExitStack`.

A part that leaves a context manager is told of the error. Beyond ExitStack, no error is lost: what a part raises has
the error of the part before it in its chain of contexts. And no part is lost: where an exception from outside strikes
between two parts, the rest is still in the list, and `run` can be called again.

A part that can't even begin, because no stack is left, would be lost: it counts as begun. So `run` first looks whether
there is enough. Where there is not, the scope is `unfinished`: the next one that is entered or closed, with more stack,
goes on with it.
"""

from __future__ import annotations

import sys
from functools import partial
from operator import length_hint
from types import MethodType
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from tlctx._core.errors import context_chain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

__all__ = ["Part", "check_stack", "enter", "run", "unfinished"]

T = TypeVar("T")

unfinished: dict[int, tuple[Any, Callable[[], object]]] = {}
"""Scopes that could not be closed where they ended, by their serials, the innermost first, each with what closes it."""

_CALLS_TO_BEGIN = 10
"""How deep in calls the code of a part may begin, and what tlctx does around it."""


class Part:
    """One call that the teardown has to make, once: a callback's, or a context manager's exit."""

    __slots__ = ("calls", "is_exit", "may_suppress", "value")

    def __init__(self, *calls: Callable[..., Any], is_exit: bool = False, may_suppress: bool = True) -> None:
        self.calls = iter(calls)
        """Yields each call once; it is empty from the moment the last one begins."""
        self.value: Any = None  # what the context manager gave
        self.is_exit = is_exit
        self.may_suppress = may_suppress

    def run(self, details: tuple[Any, Any, Any]) -> bool:
        """Make the call, if that has not begun before. Returns whether it suppresses the error that `details` are of.

        The loop takes the call off in C, and the call comes next: no signal is handled in between, so none is lost.
        """
        if not self.is_exit:
            _ = [call() for call in self.calls]
            return False
        results = [call(*details) for call in self.calls]
        return self.may_suppress and any(results)


def enter(
    cm: AbstractContextManager[T], parts: list[Part], *after: Callable[..., object], may_suppress: bool = True
) -> T:
    """Enter `cm`, and add its exit to `parts`. What is in `after` is called next, with the arguments of an exit.

    Raises TypeError if it is no context manager.
    """
    cls = type(cm)
    if not (hasattr(cls, "__enter__") and hasattr(cls, "__exit__")):
        raise TypeError(f"{cls.__name__!r} object does not support the context manager protocol")
    check_stack()
    exits: Iterator[Callable[..., Any]] = iter((MethodType(cls.__exit__, cm), *after))
    part = Part(is_exit=True, may_suppress=may_suppress)
    parts.append(part)  # so that it is known from the moment it is entered
    try:
        part.value, part.calls = cls.__enter__(cm), exits
        parts.append(part)  # again, above what it has entered itself
    finally:
        if parts.count(part) > (part.calls is exits):
            _remove(part, parts)  # the lower one
    value: T = part.value
    return value


def run(parts: list[Part], error: BaseException | None) -> None:
    """Run all `parts`, whatever others raise; each learns of `error`, or of what replaced it.

    A part that returns something true suppresses the error for those after it. Raises what was raised last.
    """
    pending = error
    failed: Part | None = None
    details = _details(error)
    check_stack(spare=8 if isinstance(error, RecursionError) else 0)
    while parts:
        part = parts[-1]
        details = _details(pending)
        try:
            if part.run(details):
                pending = None
            _remove(part, parts)
        except BaseException as raised:  # raised below, when all have run
            if part is failed and length_hint(part.calls):  # it can't even begin: there is no memory, or no stack, left
                raise
            failed = part
            if raised is not pending:
                _chain(raised, pending)
                pending = raised
    try:
        if pending is not None and pending is not error:  # a part that passes on what it was told of has not failed
            _raise(pending)
    finally:
        del pending, error, details  # the traceback has this frame, so they would be a cycle


def check_stack(*, spare: int = 0) -> None:
    """Raise RecursionError if too little stack is left for a part to begin.

    After an overflow, `spare` is 8, say: then an eighth of the whole stack has to be free. A caller further up has
    more, and a part may need some for itself.
    """
    if spare:
        _descend_in_c(sys.getrecursionlimit() // spare)
    else:
        _descend(_CALLS_TO_BEGIN)


def _descend(calls: int) -> None:
    if calls:
        _descend(calls - 1)


def _call_in_c(calls: int) -> None:
    if calls:
        _descend_in_c(calls - 1)


# From 3.12 on, calls that go through C have a limit of their own.
_descend_in_c = partial(_call_in_c)


def _remove(part: Part, parts: list[Part]) -> None:
    try:
        parts.remove(part)
    except ValueError:  # another thread was quicker
        return


def _raise(error: BaseException) -> NoReturn:
    """Raise it with the context that it has, whatever is being handled here."""
    context = error.__context__
    try:
        raise error
    finally:
        error.__context__ = context
        del error, context


def _details(error: BaseException | None) -> tuple[Any, Any, Any]:
    return (None, None, None) if error is None else (type(error), error, error.__traceback__)


def _chain(raised: BaseException, before: BaseException | None) -> None:
    """Add `before` to the errors in the handling of which `raised` was raised, unless it is one of them."""
    older = context_chain(before)
    if before is None or _is_in(raised, older):
        return
    newer = context_chain(raised)
    if _is_in(before, newer):
        return
    for link in newer:
        if link.__context__ is None or _is_in(link.__context__, older):
            link.__context__ = before
            return


def _is_in(error: BaseException, chain: list[BaseException]) -> bool:
    return any(error is other for other in chain)
