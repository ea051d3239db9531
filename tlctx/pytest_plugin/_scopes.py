"""The scopes that the fixtures open for one test.

In a test that is a plain function they are bound to its thread, from the fixture's set-up to its end. The coroutine of
an async test runs in a context of its own, and what it awaits may open scopes itself, which no thread takes that has
one bound. So they are attached inside the coroutine, and end with it.
"""

from __future__ import annotations

import functools
import inspect
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

import pytest

from tlctx import Scope
from tlctx.lowlevel import bound, explanations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from tlctx import RequestContext

__all__ = ["Scopes", "is_async", "is_async_test"]


class Scopes:
    """The open ones, each with the block in which it is bound, if it is."""

    def __init__(self, context: RequestContext, item: pytest.Item) -> None:
        self._context = context
        self._item = item
        self._open: list[tuple[Scope, bound | None]] = []
        self._in_coroutine = self._aside = False

    def open(self, /, **values: Any) -> Scope:
        """Open a scope for the rest of the test."""
        scope = Scope(self._context, label=f"test {self._item.name}")
        try:
            scope.run(_begin, scope, values)
        except BaseException as error:
            scope.close(error)
            raise
        self._open.append((scope, None))
        if self._in_coroutine:
            scope.attach()
        elif not self._aside:
            self._bind()
        return scope

    def fail(self, error: BaseException) -> None:
        """Have the teardown of each learn of the test's exception."""
        for scope, _ in self._open:
            scope.fail(error)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """A block in which none of them is bound to the thread."""
        self._unbind()
        self._aside = True
        try:
            yield
        finally:
            self._aside = False
            self._bind()

    @contextmanager
    def around(self, item: Any) -> Iterator[None]:
        """A block in which the coroutine function of an async test runs in them, and ends them."""
        owner, name = _function_of(item)
        function = getattr(owner, name)

        @functools.wraps(function)
        async def run_in_scopes(*args: Any, **kwargs: Any) -> Any:
            self._attach()
            try:
                return await function(*args, **kwargs)
            except BaseException as error:
                self.fail(error)
                raise
            finally:
                self._close_attached()

        with pytest.MonkeyPatch.context() as patch, self.aside():
            patch.setattr(owner, name, run_in_scopes)
            yield

    def _attach(self) -> None:
        self._in_coroutine = True
        for scope, _ in self._open:
            scope.attach()

    def _close_attached(self) -> None:
        attached = [scope for scope, _ in self._open]
        try:
            self._close()
        finally:
            self._in_coroutine = False
            for scope in attached:
                scope.detach()

    def _bind(self) -> None:
        for place, (scope, block) in enumerate(self._open):
            if block is None:
                binding = bound(scope)
                binding.__enter__()
                self._open[place] = scope, binding

    def _unbind(self) -> None:
        for place, (scope, block) in reversed(list(enumerate(self._open))):
            if block is not None:
                self._open[place] = scope, None
                block.__exit__(None, None, None)

    def _close(self) -> None:
        """Close them, the last first, all of them whatever their teardowns raise."""
        if not self._open:
            return
        scope, block = self._open.pop()
        try:
            scope.close()
        finally:
            try:
                if block is not None:
                    block.__exit__(None, None, None)
            finally:
                self._close()

    def __enter__(self) -> Self:
        self._explain = _explain_other_context(self._context)
        explanations.append(self._explain)
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        explanations.remove(self._explain)
        self._close()


def _begin(scope: Scope, values: dict[str, Any]) -> None:
    scope.run_init()
    scope.update(values)


def _explain_other_context(opened: RequestContext) -> Callable[[Any], str | None]:
    def explain(context: Any) -> str | None:
        if context is opened:
            return None
        return (
            f"the scope of this test is for another context, {type(opened).__name__}. Have the fixture tlctx_context, "
            "in conftest.py, return the one that is used here."
        )

    return explain


def is_async(function: Any) -> bool:
    """Whether it is the function of a fixture or test that an event loop runs."""
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)


def is_async_test(item: Any) -> bool:
    """Whether the test is a coroutine function."""
    owner, name = _function_of(item)
    return inspect.iscoroutinefunction(getattr(owner, name, None))


def _function_of(item: Any) -> tuple[Any, str]:
    """Where the function of a test is; hypothesis has it inside its own."""
    hypothesis = getattr(getattr(item, "obj", None), "hypothesis", None)
    return (item, "obj") if hypothesis is None else (hypothesis, "inner_test")
