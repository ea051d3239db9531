"""Copies of a request: what its code has assigned, for scopes in other threads, or for when it is over.

A copy is made of the scope that is current, and is independent of it from then on: it holds the values, shallow, and
what names the request, neither the scope nor its source. Any number of threads may open scopes with it at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, Self, cast

from tlctx._core.implementation import CopyBase
from tlctx._core.labels import Origin
from tlctx._core.reports import close_after, close_reporting
from tlctx._core.scope import Scope

if TYPE_CHECKING:
    from tlctx._core.context import RequestContext
    from tlctx._core.namespace import Namespace

__all__ = ["ScopeCopy", "assigned_values", "copy_scope"]


def assigned_values(scope: Scope) -> dict[str, Any]:
    """The values of `scope` by name, without those that `per_request` methods have made: a copy makes its own.

    Nor are those in it that the class names in `not_copied`. The copy is shallow. Raises RequestEndedError after the
    scope's end.
    """
    return _values_of(scope, "copying values")


def _values_of(scope: Scope, use: str) -> dict[str, Any]:
    values = dict(scope.namespace)
    made = scope._made  # looked at after the values: whoever makes one notes it here first
    if scope.ended:  # perhaps on another thread, just now
        scope._check_open(use)
    skip = type(scope.context)._local__not_copied
    if not made and not skip:
        return values
    return {name: value for name, value in values.items() if made.get(name, made) is not value and name not in skip}


class JobScope(Scope):
    """A scope that begins with a copy of a request's values; messages name that request.

    Its source is the copy, or a tuple of several: those after the first are for scopes that begin and end inside it.
    """

    __slots__ = ()

    _close_after = staticmethod(close_after)

    def _enter(self) -> None:
        copy, *others = self.source if isinstance(self.source, tuple) else (self.source,)
        super()._enter()
        self._fill(copy)
        for other in others:
            self.enter_context(other.open())

    def _begin(self) -> None:
        copy = self.source
        self.run_init()
        self._fill(copy)

    def _fill(self, copy: ScopeCopy) -> None:
        self._check_open("beginning with a copy")
        values, cls = copy._values, type(self.context)
        dict.update(self.namespace, values)  # they were in a namespace of this class, so no setter has to see them
        if len(self.namespace) != len(values) and cls.__init__ is object.__init__:
            for name in cls._local__fields.keys() - values.keys() - cls._local__not_copied:
                dict.pop(self.namespace, name, None)  # a default that the request has deleted

    def _finish(self) -> None:
        close_reporting(self)


class ScopeCopy(CopyBase):
    """A copy of a scope: `open` and `run` make scopes that begin with its values. `take` and `copy_scope` make one."""

    __slots__ = ()

    _kind = JobScope

    @classmethod
    def _take(cls, context: RequestContext) -> Self | None:
        scope = _namespace(context).scope
        if scope is None:
            return None
        values = _values_of(scope, _USE)
        origin = scope._label
        if type(origin) is not Origin:
            origin = scope._label = Origin(scope.serial, origin)  # type: ignore[arg-type]
        return cls(context, origin, values)

    def open(self, *others: ScopeCopy) -> Scope:
        """A scope for `with`, on any thread; scopes that begin with `others` begin and end inside it."""
        return JobScope(self.context, (self, *others) if others else self, self.origin)

    def __repr__(self) -> str:
        return f"<copy of {self.origin}>"

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("a request's copy can't be pickled: it may hold what must not leave the process")


def copy_scope(context: RequestContext) -> ScopeCopy:
    """A copy of the scope that is current for `context`.

    Raises OutsideRequestError where no request of it runs, RequestEndedError in code that its request has left behind.
    """
    copy = ScopeCopy.take(context)
    if copy is None:
        _namespace(context).check(_USE)
    return cast("ScopeCopy", copy)


def _namespace(context: RequestContext) -> Namespace:
    return cast("Namespace", vars(context))


_USE = "taking a snapshot"
