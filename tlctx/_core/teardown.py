"""The teardown of a scope: a list of parts, run last in first out with the semantics of `contextlib.ExitStack`.

A part is called as an `__exit__` method is, with the error that it is to know of. Beyond ExitStack, no error is lost:
what a part raises has the error of the part before it in its chain of contexts.
"""

from __future__ import annotations

from types import MethodType
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TypeVar

from tlctx._core.errors import context_chain

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

__all__ = ["Call", "enter", "run"]

T = TypeVar("T")
P = ParamSpec("P")


class Call:
    """A part that calls `function(*args, **kwargs)`, whatever the error is."""

    __slots__ = ("_args", "_function", "_kwargs")

    def __init__(self, function: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> None:
        self._function = function
        self._args = args
        self._kwargs = kwargs

    def __call__(self, *exc_details: Any) -> None:
        self._function(*self._args, **self._kwargs)


def enter(cm: AbstractContextManager[T], parts: list[Any]) -> T:
    """Enter `cm`, and add its exit to `parts`. Raises TypeError if it is no context manager."""
    cls = type(cm)
    try:
        enter_cm, exit_cm = cls.__enter__, cls.__exit__
    except AttributeError:
        raise TypeError(f"{cls.__name__!r} object does not support the context manager protocol") from None
    value = enter_cm(cm)
    parts.append(MethodType(exit_cm, cm))
    return value


def run(parts: list[Any], error: BaseException | None) -> None:
    """Take all `parts` and call each, whatever others raise; each learns of `error`, or of what replaced it.

    A part that returns something true suppresses the error for those after it. Raises what was raised last.
    """
    pending = error
    while parts:
        part = parts.pop()
        try:
            if part(*_details(pending)):
                pending = None
        except BaseException as raised:  # noqa: BLE001  # raised below, when all have run
            if raised is not pending:
                _chain(raised, pending)
                pending = raised
    try:
        if pending is not None and pending is not error:  # a part that passes on what it was told of has not failed
            _raise(pending)
    finally:
        del pending, error  # the traceback has this frame, so they would be a cycle


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
