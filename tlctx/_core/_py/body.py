"""A body that is run in a scope, in plain Python: `tlctx/_core/_c/body.h` has the same in C."""

from __future__ import annotations

from types import GeneratorType
from typing import TYPE_CHECKING, Any, cast

from tlctx._core.namespace import ENDED, NOT_BOUND
from tlctx._core.teardown import unfinished

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["ScopedIterator"]


class ScopedIterator:
    """An iterable whose code runs with a scope bound: `iter()` of it, each step, and its `close()`.

    Subclasses implement: `_on_step_error(error)`, after a step that raised anything but StopIteration; `_on_close()`,
    to close a scope with a teardown; `_on_close_error(error)`, after a `close()` that raised; `_on_drop()`, when the
    collector finds the iterator while its scope is open. `_exhausted` says whether it was read to its end.
    """

    __slots__ = ("__weakref__", "_exhausted", "_iterable", "_iterator", "_owner", "_scope")

    def __init__(self, iterable: Iterable[Any], scope: Any) -> None:
        self._iterable = iterable
        self._iterator: Iterator[Any] | None = None
        self._owner: ScopedIterator | None = None  # the body that this is an iterator of, if it is one
        self._exhausted = False
        self._scope = scope  # set last: a half-made body has no scope to close

    def __iter__(self) -> Iterator[Any]:
        iterable = self._iterable
        if self._owner is not None or type(iterable) is GeneratorType:
            self._iterator = cast("Iterator[Any]", iterable)
            return self
        iterator = self._call_iter(iterable)
        if iterator is iterable:
            self._iterator = iterator
            return self
        # The iterable begins anew each time, so what iterates it is an object of its own.
        other = type(self).__new__(type(self))
        other._iterable = other._iterator = iterator
        other._owner = self
        other._exhausted = False
        other._scope = self._scope  # last, as above
        return other

    def _call_iter(self, iterable: Iterable[Any]) -> Iterator[Any]:
        scope = self._scope
        if scope.namespace is ENDED:
            return iter(iterable)
        try:
            iterator: Iterator[Any] = scope.run(iter, iterable)
        except BaseException as error:
            if scope.namespace is not ENDED:
                scope._error, unfinished[scope.serial] = error, (scope, self.close)
            self._close_failed(error)
            raise
        return iterator

    def __next__(self) -> Any:
        if self._iterator is None:
            iterator = iter(self)
            self._iterator = iterator._iterator  # type: ignore[attr-defined]
        scope = self._scope
        if scope.namespace is ENDED:
            return next(self._iterator)
        displaced = NOT_BOUND
        try:
            try:
                displaced = scope.bind()
                chunk = next(self._iterator)
                scope.chunks += 1
                return chunk
            except StopIteration:
                (self if self._owner is None else self._owner)._exhausted = True
                raise
            except BaseException as error:
                if scope.namespace is not ENDED:
                    scope._error = error
                raise
            finally:
                if displaced is not NOT_BOUND:
                    scope.unbind(displaced)
        except StopIteration:
            raise
        except BaseException as error:
            if scope.namespace is not ENDED and (displaced is not NOT_BOUND or error.__class__ is RecursionError):
                unfinished[scope.serial] = scope, self.close
            if displaced is not NOT_BOUND:
                scope.restore(displaced)
                self._close_failed(scope._error or error)
            chunk = None  # so that no traceback shows it
            raise

    def close(self) -> None:
        """Close the iterable, if it can be closed, with the scope bound, and then the scope."""
        if self._owner is not None:
            self._owner.close()
            return
        close = getattr(self._iterable, "close", None)
        scope = self._scope
        if scope.namespace is ENDED:
            if close is not None:
                close()
            return
        displaced = NOT_BOUND
        try:
            try:
                displaced = scope.bind()
                if close is not None:
                    close()
                if not scope.close_if_idle():
                    self._on_close()
            except BaseException as error:
                scope._error = error
                self._on_close_error(error)
                raise
            finally:
                if displaced is not NOT_BOUND:
                    scope.unbind(displaced)
        except BaseException as error:
            if scope.namespace is not ENDED:
                unfinished[scope.serial] = scope, self.close
            if displaced is not NOT_BOUND:
                scope.restore(displaced)
            if scope.namespace is not ENDED:
                self._on_close_error(scope._error or error)
            raise

    def __del__(self) -> None:
        try:
            scope = self._scope
        except AttributeError:  # it was never made
            return
        if scope.namespace is ENDED or self._owner is not None:
            return
        try:
            self._on_drop()
        finally:
            if scope.namespace is not ENDED:  # something struck it, or no stack is left
                unfinished[scope.serial] = scope, self._on_drop
                self._on_drop()

    def _close_failed(self, error: BaseException) -> None:
        """Close the scope after a step that raised `error`."""
        body = self if self._owner is None else self._owner
        try:
            body._on_step_error(error)
        finally:
            if self._scope.namespace is not ENDED:  # something struck it
                body._on_step_error(error)

    _on_step_error: Callable[[BaseException], None]
    _on_close_error: Callable[[BaseException], None]
    _on_close: Callable[[], None]
    _on_drop: Callable[[], None]
