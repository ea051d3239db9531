"""per_request: a value of the context that is made on first use, once a request."""

from __future__ import annotations

import inspect
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, cast, overload

from tlctx._core.context import RequestContext
from tlctx._core.making import once
from tlctx._core.propagation import namespace_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from tlctx._core.scope import Scope

__all__ = ["per_request"]

T = TypeVar("T")


class per_request(Generic[T]):
    """Decorates a method of a RequestContext: its value is made on first use, once a request.

    From then on it is a plain value of the request, and can be assigned like one. Of a generator the yielded value is
    taken; its rest runs when the request ends, with the request's exception thrown in at the yield if there was one.
    Catching it there does not undo it for the rest of the teardown.

    Raises TypeError for a coroutine function or no function, and when read on an object that is no RequestContext.
    """

    @overload
    def __init__(self, method: Callable[[Any], Generator[T, Any, Any]]) -> None: ...
    @overload
    def __init__(self, method: Callable[[Any], Iterator[T]]) -> None: ...
    @overload
    def __init__(self, method: Callable[[Any], T]) -> None: ...
    def __init__(self, method: Callable[[Any], Any]) -> None:
        if not callable(method):
            raise TypeError(f"per_request decorates a method, not {type(method).__name__}")
        self.name = getattr(method, "__name__", "per_request")
        function = inspect.unwrap(method)
        if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(f"per_request can't await: {self.name} must be a plain function or generator")
        self.method = method
        self.__doc__ = method.__doc__
        self._generates = inspect.isgeneratorfunction(function)

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    if TYPE_CHECKING:
        # pyright lets nobody assign to a descriptor without these. Where code runs the value goes into the namespace.
        def __set__(self, context: object, value: T) -> None: ...
        def __delete__(self, context: object) -> None: ...

    @overload
    def __get__(self, context: None, owner: type) -> Self: ...
    @overload
    def __get__(self, context: object, owner: type | None = None) -> T: ...
    def __get__(self, context: object, owner: type | None = None) -> Self | T:
        if context is None:
            return self
        if not isinstance(context, RequestContext):
            raise TypeError(f"per_request {self.name!r} needs a RequestContext, not {type(context).__name__}")
        namespace = namespace_of(context).check(f"reading {self.name!r}")
        scope = cast("Scope", namespace.scope)
        make = partial(self._make, context, scope)  # no closure, as in ThreadRecord.register()
        return cast("T", once(scope.serial, self.name, namespace, make))

    def _make(self, context: RequestContext, scope: Scope) -> Any:
        value = self._value(context)
        try:
            scope._check_open(f"writing {self.name!r}")
            scope._made[self.name] = value  # noted before a thread that copies the values can see it
            return value
        finally:
            del value  # so that no traceback shows it

    def _value(self, context: RequestContext) -> Any:
        if not self._generates:
            return self.method(context)
        scope = context._local__scope("entering a context manager")
        generated = contextmanager(self.method)(context)
        explain = partial(_explain, f"{type(context).__name__}.{self.name}", generated)
        try:
            return scope._enter_context(generated, explain, may_suppress=False)
        except RuntimeError as error:
            explain(None, error, None)
            raise


def _explain(name: str, cm: object, kind: object, error: BaseException | None, traceback: object) -> None:
    """Have `error` name the per_request if it is that of `cm` about a generator that does not yield once."""
    if isinstance(error, RuntimeError) and str(error).startswith("generator didn't") and _is_raised_by(cm, error):
        error.args = (f"per_request {name}: {error}: it has to yield its value, once",)


def _is_raised_by(cm: object, error: BaseException) -> bool:
    """Whether a method of `cm` has raised it, and nothing that this called."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    return last is not None and last.tb_frame.f_locals.get("self") is cm
