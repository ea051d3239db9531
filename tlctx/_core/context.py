"""RequestContext: what views use. Its class declares the fields; the current scope's namespace has their values."""

from __future__ import annotations

import inspect
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Generic, ParamSpec, Self, TypeVar, cast, overload

from tlctx._core.carry import carried_namespace, namespace_of
from tlctx._core.fields import absent, declare_fields, guard_methods, run_init_in_scopes
from tlctx._core.local import local, swap_dict
from tlctx._core.scope import Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from types import TracebackType

    # A `local` has any attribute. To a type checker a context has its declared ones only, so that it can find typos.
    class _Local:
        _local__impl: Any
else:
    _Local = local

__all__ = ["AnyContext", "RequestContext", "per_request"]

T = TypeVar("T")
P = ParamSpec("P")


class RequestContext(_Local):
    """Request-scoped storage: each request reads and writes values of its own, which are gone after it.

    Subclass it and annotate the fields; a default goes into each request's namespace at its start. An `__init__` runs
    at the start of every scope, with the constructor's arguments. Make one instance, at module level, and give it to
    ContextMiddleware.

    Where no request runs, reading or writing is an OutsideRequestError. Raises TypeError, when the class is made, for a
    mutable default, and for a field with the name of a method.
    """

    __slots__ = ()

    _local__defaults: ClassVar[dict[str, Any]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        guard_methods(cls)
        cls._local__defaults = declare_fields(cls)

    def __new__(cls, /, *args: Any, **kwargs: Any) -> Self:
        run_init_in_scopes(cls)
        self: Self = local.__new__(cast("Any", cls), *args, **kwargs)
        swap_dict(self, None)
        return self

    def scope(self, /, **values: Any) -> Scope:
        """A scope for `with`, in scripts, jobs and tests: nothing of an outer one is seen inside.

        Entering it assigns `values`; leaving it runs the teardown, which learns of an exception that ends the block.
        """
        return Scope(self, values=values)

    def get(self, name: str, default: Any = None) -> Any:
        """The value that `name` has in this request, or `default` if it has none.

        Never makes a `per_request` value. Raises OutsideRequestError where no request runs.
        """
        return namespace_of(self).check(f"reading {name!r}").get(name, default)

    def enter_context(self, cm: AbstractContextManager[T]) -> T:
        """Enter `cm`, return what it gives, and leave it when the request ends, with the request's exception if any.

        Raises TypeError if `cm` is no context manager, OutsideRequestError where no request runs.
        """
        return self._scope("entering a context manager").enter_context(cm)

    def callback(self, function: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> Callable[P, object]:
        """Call `function(*args, **kwargs)` when the request ends. Returns `function`.

        Raises TypeError if `function` is not callable, OutsideRequestError where no request runs.
        """
        return self._scope("adding a callback").callback(function, *args, **kwargs)

    def _scope(self, use: str) -> Scope:
        return cast("Scope", namespace_of(self).check(use).scope)

    def __contains__(self, name: object) -> bool:
        return name in namespace_of(self).check(f"looking for {name!r}")

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(namespace_of(self).check("listing the names")))

    def __repr__(self) -> str:
        namespace = namespace_of(self)
        if namespace.scope is None:
            return f"<{type(self).__name__} outside a request>"
        return f"<{type(self).__name__} in {namespace.scope}: {', '.join(namespace) or 'nothing set'}>"

    def _local__adopt(self) -> dict[str, Any]:
        return carried_namespace(self)

    def _local__absent(self, error: AttributeError) -> AttributeError:
        return absent(self, str(error.name))

    def _local__begin(self) -> None:
        """Run an `__init__` that the class may have: what `Scope.begin` does."""
        init: Any = type(self).__init__
        if init is not object.__init__:
            args, kwargs = self._local__impl.localargs
            init(self, *args, **kwargs)


guard_methods(RequestContext)


class AnyContext(RequestContext):
    """A context that declares nothing and takes any name; `tlctx.ctx` is one."""

    __slots__ = ()

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...
        def __setattr__(self, name: str, value: Any) -> None: ...
        def __delattr__(self, name: str) -> None: ...


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
        value: T
        if self._generates:
            value = cast("Scope", namespace.scope).enter_context(_Finishing(self.method, context))
        else:
            value = self.method(context)
        try:
            namespace[self.name] = value
        except BaseException:
            del value  # so that no traceback shows it
            raise
        return value


class _Finishing(AbstractContextManager[Any]):
    """Runs a generator to its yield, and its rest at the end; it never swallows the exception that it is told of."""

    def __init__(self, method: Callable[[Any], Iterator[Any]], context: RequestContext) -> None:
        self.manager = contextmanager(method)(context)

    def __enter__(self) -> Any:
        return self.manager.__enter__()

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.manager.__exit__(exc_type, exc, traceback)
