"""Namespace: the dict that holds one request's values, and the ones that refuse to because no request runs.

`local` reads and writes them as it does any thread's dict, so a write outside a request is refused by the dict itself
and costs nothing inside one.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn, Self

from tlctx._core import errors
from tlctx._core.places import advice
from tlctx._core.threads import thread_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tlctx._core.scope import Scope

__all__ = [
    "ATTACHED",
    "ENDED",
    "NOT_BOUND",
    "NO_VALUES",
    "Defaults",
    "EndedNamespace",
    "Namespace",
    "OutsideNamespace",
    "StrictNamespace",
    "ended_namespace",
    "nearest_open",
    "reveal",
]

NO_VALUES: Mapping[str, Any] = MappingProxyType({})


class Namespace(dict[str, Any]):
    """One request's values by name; it knows its scope. Its repr shows names, never values."""

    __slots__ = ("scope",)

    scope: Scope | None

    def refusal(self, use: str) -> errors.OutsideRequestError | None:
        """The error for `use`, "reading 'user'" for example, if nothing can be had from it."""
        return None

    def check(self, use: str) -> Self:
        """The namespace itself, if it can be used; raises its refusal of `use` if not."""
        return self

    def end(self) -> None:
        """Empty it for good. From here on it refuses to be read from or written to, also by whoever kept it."""
        self.__class__ = EndedNamespace
        dict.clear(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.scope}: {', '.join(self) or 'nothing set'}>"

    def __sentry_repr__(self) -> str:
        """Sentry would show what is in a mapping that is a frame's local, whatever its repr is."""
        return repr(self)

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("a request's namespace can't be copied or pickled whole: take the values you need")


class StrictNamespace(Namespace):
    """One that takes the names alone that the class of its context declares."""

    __slots__ = ()

    def __setitem__(self, name: str, value: Any) -> None:
        cls = type(self.scope.context)  # type: ignore[union-attr]
        error = None if name in cls._local__declared else cls._local__undeclared(name)
        if error is None:
            dict.__setitem__(self, name, value)
            return
        del value  # so that no traceback shows it
        raise error

    def setdefault(self, name: str, default: Any = None) -> Any:
        try:
            self._check_names(() if name in self else (name,))
            return dict.setdefault(self, name, default)
        finally:
            del default

    def update(self, *args: Any, **kwargs: Any) -> None:
        values: dict[str, Any] = {}
        try:
            values.update(*args, **kwargs)
            self._check_names(values)
            dict.update(self, values)
        finally:
            del args, kwargs, values

    def __ior__(self, other: Any) -> Self:  # type: ignore[override,misc]
        try:
            self.update(other)
            return self
        finally:
            del other

    def _check_names(self, names: Iterable[str]) -> None:
        cls = type(self.scope.context)  # type: ignore[union-attr]
        errors = [cls._local__undeclared(name) for name in names]
        names = ()  # so that no traceback shows the values
        for error in errors:
            if error is not None:
                raise error


class Defaults:
    """A class's defaults, where its namespaces are more than a copy of them: some are made anew, or it is strict."""

    def __init__(
        self, defaults: dict[str, Any], factories: dict[str, Callable[[], Any]], kind: type[Namespace]
    ) -> None:
        self._defaults = defaults
        self._factories = factories
        self._kind = kind

    def make_namespace(self) -> Namespace:
        """The values that a scope begins with."""
        namespace = self._kind(self._defaults)
        namespace.scope = None
        for name, factory in self._factories.items():
            dict.__setitem__(namespace, name, factory())
        return namespace


class _ClosedNamespace(Namespace):
    """Holds nothing, takes nothing, and says why."""

    __slots__ = ()

    def __getitem__(self, name: str) -> NoReturn:
        self.check(f"reading {name!r}")

    def get(self, name: str, default: Any = None) -> NoReturn:
        self.check(f"reading {name!r}")

    def __setitem__(self, name: str, value: Any) -> NoReturn:
        del value  # so that no traceback shows it
        self.check(f"writing {name!r}")

    def setdefault(self, name: str, default: Any = None) -> NoReturn:
        del default
        self.check(f"writing {name!r}")

    def update(self, *args: Any, **kwargs: Any) -> NoReturn:
        del args, kwargs
        self.check("writing values")

    def __ior__(self, other: Any) -> NoReturn:  # type: ignore[misc]
        del other
        self.check("writing values")

    def __delitem__(self, name: str) -> NoReturn:
        self.check(f"deleting {name!r}")

    def pop(self, name: str, *default: Any) -> NoReturn:
        self.check(f"deleting {name!r}")

    def refusal(self, use: str) -> errors.OutsideRequestError:
        raise NotImplementedError

    def check(self, use: str) -> NoReturn:
        raise self.refusal(use)


class EndedNamespace(_ClosedNamespace):
    """What a namespace is after its scope's end."""

    __slots__ = ()

    def refusal(self, use: str) -> errors.OutsideRequestError:
        return errors.request_ended(use, str(self.scope), thread_name())


def ended_namespace(scope: Scope) -> EndedNamespace:
    """What `scope`, which has ended, leaves to those who still look for its values."""
    namespace = EndedNamespace()
    namespace.scope = scope
    return namespace


class OutsideNamespace(_ClosedNamespace):
    """What `vars(ctx)` is where no request runs: it refuses to list its names too."""

    __slots__ = ("context",)

    def __init__(self, context: Any) -> None:
        self.scope = None
        self.context = context

    def refusal(self, use: str) -> errors.OutsideRequestError:
        return errors.outside_request(use, thread_name(), self.context, advice)

    def __contains__(self, name: object) -> NoReturn:
        self.check(f"looking for {name!r}")

    def __iter__(self) -> NoReturn:
        self.check("listing the names")

    keys = values = items = __iter__

    def __repr__(self) -> str:
        return "<Namespace outside a request>"


ENDED = EndedNamespace()
"""In the place of a scope's namespace once that has ended."""
ENDED.scope = None

ATTACHED = Namespace()
"""What binding returns where it attaches the scope instead, in a greenlet that has no thread's dict of its own."""
ATTACHED.scope = None

NOT_BOUND: Any = object()
"""Stands for what binding displaced, as long as the scope is not bound."""


def nearest_open(namespace: Namespace | None) -> Namespace | None:
    """The nearest namespace whose scope is open, from this one down through those that scopes displaced."""
    while namespace is not None and namespace.scope is not None and namespace.scope.ended:
        namespace = namespace.scope._displaced
    return namespace


def reveal(scope: Any, displaced: Namespace) -> Namespace | None:
    """What becomes the thread's dict where `scope` is unbound that has displaced `displaced`."""
    if displaced is scope._below:
        scope._below = None
    return nearest_open(displaced)
