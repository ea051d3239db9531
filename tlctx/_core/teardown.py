"""Teardown: what a scope does at its end. `contextlib.ExitStack` runs it; no error of it is lost, and no late part."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from tlctx._core import errors

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

__all__ = ["Teardown"]

T = TypeVar("T")
P = ParamSpec("P")


class Teardown:
    """Context managers to leave and functions to call, last in first out, each of them once."""

    __slots__ = ("_error", "_stack")

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._error: BaseException | None = None

    def enter_context(self, cm: AbstractContextManager[T]) -> T:
        """Enter `cm` now and leave it at the end. Raises TypeError if it is no context manager."""
        self._stack.push(self._keep_error)  # runs right after the part that is added next
        return self._stack.enter_context(cm)

    def callback(self, function: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> None:
        """Call `function(*args, **kwargs)` at the end."""
        self._stack.push(self._keep_error)
        self._stack.callback(function, *args, **kwargs)

    def run(self, error: BaseException | None) -> None:
        """Run all of it, whatever parts of it raise; each part learns of `error`. Raises what was raised last."""
        self._error = error
        try:
            self._stack.__exit__(
                type(error) if error is not None else None, error, getattr(error, "__traceback__", None)
            )
        except BaseException as raised:
            if raised is not error:  # a part that passes on what it was told of has not failed
                raise
        finally:
            self._error = None

    def run_late(self) -> None:
        """Run what another thread has added since `run`."""
        self._stack.close()

    def _keep_error(self, *exc_details: Any) -> None:
        """Hang the error before on a new one: ExitStack forgets it where no exception was being handled."""
        before, error = self._error, exc_details[1]
        if error is None or error is before:
            return
        self._error = error
        if error.__context__ is None and not any(error is other for other in errors.chain(before)):
            error.__context__ = before
