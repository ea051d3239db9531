"""Values that every request of a test reads, whatever the application assigns.

The namespace of each scope that begins is made one that keeps these values: nothing of the context or its class is
touched, and code on any thread, and in any coroutine, finds them where it finds all values. What a `per_request` is to
make instead takes the place of the method on the class, until the test is over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import pytest

from tlctx import RequestContext, Scope, per_request
from tlctx.lowlevel import Observer, add_observer, check_field, remove_observer

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Overrides"]

Values = dict[str, Any]


class Overrides(Observer):
    """The values that one test overrides, by name: calling it adds some."""

    def __init__(self, context: RequestContext) -> None:
        self._context = context
        self._values: Values = {}
        self._made: set[str] = set()
        self._kinds: dict[type, type] = {}
        self._patch = pytest.MonkeyPatch()

    def __call__(self, /, **values: Any) -> None:
        """Have each request read these values until the test is over, also one that runs already.

        Of a `per_request` each request makes a value of its own, and what it opens is closed with the request. Raises
        AttributeError for a name that can't be assigned in a request.
        """
        for name in values:
            check_field(self._context, name)
        for name, value in values.items():
            self._values.pop(name, None)
            if isinstance(value, per_request):
                self._made.add(name)
                self._make_by(name, value)
            else:
                self._made.discard(name)
                self._values[name] = value
        current = Scope.current(self._context)
        if current is not None:
            self.begin(current)

    def _make_by(self, name: str, maker: per_request[Any]) -> None:
        maker.__set_name__(type(self._context), name)
        self._patch.setattr(type(self._context), name, maker, raising=False)

    def begin(self, scope: Scope) -> None:
        """Give `scope` the values."""
        if scope.context is not self._context:
            return
        kind = type(scope.namespace)
        if kind not in self._kinds.values():
            scope.namespace.__class__ = self._kinds.setdefault(kind, _keeping(kind, self._values))
        for name in self._made:
            dict.pop(scope.namespace, name, None)  # the default
        dict.update(scope.namespace, self._values)

    def __enter__(self) -> Self:
        add_observer(self)
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        remove_observer(self)
        self._patch.undo()
        self._values.clear()  # namespaces of requests that still run keep nothing any more


def _keeping(kind: Any, kept: Values) -> type:
    """A class like `kind`, of namespaces whose values with the names in `kept` stay what they are."""

    class Keeping(kind):  # type: ignore[misc]
        __slots__ = ()

        def __setitem__(self, name: str, value: Any) -> None:
            if name not in kept:
                kind.__setitem__(self, name, value)

        def __delitem__(self, name: str) -> None:
            if name not in kept:
                kind.__delitem__(self, name)

        def pop(self, name: str, *default: Any) -> Any:
            return kept[name] if name in kept else kind.pop(self, name, *default)

        def clear(self) -> None:
            kind.clear(self)
            dict.update(self, kept)

        def update(self, *args: Any, **kwargs: Any) -> None:
            kind.update(self, {name: value for name, value in dict(*args, **kwargs).items() if name not in kept})

        def __ior__(self, other: Any) -> Self:
            self.update(other)
            return self

    Keeping.__name__ = Keeping.__qualname__ = kind.__name__  # which its repr shows
    return Keeping
