"""RequestContext: what views use. Its class declares the fields; the current scope's namespace has their values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, ParamSpec, Self, TypeVar, cast

from tlctx._core.fields import check_not_copied, declare_fields, declared_names, defaults_of, run_init_in_scopes
from tlctx._core.implementation import local, swap_dict
from tlctx._core.methods import check_assignable, guard_methods, refuse_hidden_methods
from tlctx._core.missing import missing_attribute, undeclared_name
from tlctx._core.propagation import attached_namespace, namespace_of
from tlctx._core.scope import Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager

    from tlctx._core.fields import Field
    from tlctx._core.namespace import Defaults

    # A `local` has any attribute. To a type checker a context has its declared ones only, so that it can find typos.
    class _Local:
        _local__impl: Any
else:
    _Local = local

__all__ = ["AnyContext", "RequestContext", "check_context"]

T = TypeVar("T")
P = ParamSpec("P")


_NO_DEFAULT: Any = object()


class RequestContext(_Local):
    """Request-scoped storage: each request reads and writes values of its own, which are gone after it.

    Subclass it and annotate the fields; a default goes into each request's namespace at its start, and
    `dataclasses.field(default_factory=list)` makes one for each. An `__init__` runs at the start of every scope, with
    the constructor's arguments. Make one instance, at module level, and give it to ContextMiddleware.

    `class Ctx(RequestContext, strict=True)` refuses names that it doesn't declare, with an AttributeError where one is
    assigned. Its subclasses do so too, unless they say `strict=False`. `not_copied=["socket"]` names what a copy of a
    request leaves out, for another thread say: the field begins there as in any scope.

    Where no request runs, reading or writing is an OutsideRequestError. Raises TypeError, when the class is made, for a
    mutable default, and for a field or another attribute with the name of a method.
    """

    __slots__ = ()

    _local__fields: ClassVar[dict[str, Field]] = {}
    _local__declared: ClassVar[frozenset[str]] = frozenset()
    _local__defaults: ClassVar[dict[str, Any] | Defaults] = {}
    _local__strict: ClassVar[bool] = False
    _local__not_copied: ClassVar[frozenset[str]] = frozenset()
    _local__make_dict: ClassVar[Any] = attached_namespace

    def __init_subclass__(cls, *, strict: bool | None = None, not_copied: Iterable[str] = (), **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        guard_methods(cls)
        cls._local__fields = declare_fields(cls)
        refuse_hidden_methods(cls, RequestContext)
        if strict is not None:
            cls._local__strict = strict
        cls._local__declared = declared_names(cls)
        cls._local__defaults = defaults_of(cls)
        cls._local__not_copied = check_not_copied(cls, not_copied)

    def __new__(cls, /, *args: Any, **kwargs: Any) -> Self:
        run_init_in_scopes(cls)
        self: Self = local.__new__(cast("Any", cls), *args, **kwargs)
        swap_dict(self, None)
        return self

    def scope(self, /, **values: Any) -> Scope:
        """A scope for `with`, in scripts, jobs and tests: nothing of an outer one is seen inside.

        Entering it assigns `values`; leaving it runs the teardown, which learns of an exception that ends the block.
        """
        try:
            return Scope(self, values=values)
        finally:
            del values  # so that no traceback shows them

    def get(self, name: str, default: Any = _NO_DEFAULT) -> Any:
        """The value that `name` has in this request, or `default` if it has none; None without a `default`.

        Never makes a `per_request` value. Where no request runs, it returns the `default`, and raises
        OutsideRequestError without one.
        """
        if default is _NO_DEFAULT:
            return namespace_of(self).check(f"reading {name!r}").get(name)
        return dict.get(namespace_of(self), name, default)

    def pop(self, name: str, default: Any = _NO_DEFAULT) -> Any:
        """Remove the value that `name` has in this request and return it, or `default` if it has none.

        Never makes a `per_request` value; what one opened is closed at the request's end all the same. Raises KeyError
        if there is neither a value nor a `default`, and OutsideRequestError where no request runs.
        """
        namespace = namespace_of(self).check(f"deleting {name!r}")
        return namespace.pop(name) if default is _NO_DEFAULT else namespace.pop(name, default)

    def setdefault(self, name: str, default: Any = None) -> Any:
        """The value that `name` has in this request; if it has none, `default`, which it has from then on.

        Never makes a `per_request` value. Raises OutsideRequestError where no request runs, and AttributeError where
        `name` can't be assigned.
        """
        try:
            namespace = namespace_of(self).check(f"writing {name!r}")
            check_assignable(self, name)
            return namespace.setdefault(name, default)
        finally:
            del default  # so that no traceback shows it

    def enter_context(self, cm: AbstractContextManager[T]) -> T:
        """Enter `cm`, return what it gives, and leave it when the request ends, with the request's exception if any.

        Raises TypeError if `cm` is no context manager, OutsideRequestError where no request runs.
        """
        return self._local__scope("entering a context manager").enter_context(cm)

    def callback(self, function: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> Callable[P, object]:
        """Call `function(*args, **kwargs)` when the request ends. Returns `function`.

        Raises TypeError if `function` is not callable, OutsideRequestError where no request runs.
        """
        return self._local__scope("adding a callback").callback(function, *args, **kwargs)

    def _local__scope(self, use: str) -> Scope:
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

    def _local__attribute_error(self, error: AttributeError, namespace: Any) -> AttributeError:
        return missing_attribute(type(self), str(error.name), namespace)

    @classmethod
    def _local__undeclared(cls, name: object) -> AttributeError | None:
        return undeclared_name(cls, name)

    def _local__run_init(self) -> None:
        """Run an `__init__` that the class may have: what `Scope.run_init` does."""
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


def check_context(context: object, what: str = "the context") -> None:
    """Raise TypeError if `context` is no RequestContext; `what` names it in the text."""
    if not isinstance(context, RequestContext):
        hint = ": give an instance, not the class" if isinstance(context, type) else ""
        raise TypeError(f"{what} must be a RequestContext, not {type(context).__name__}{hint}")
