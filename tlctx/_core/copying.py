"""Copies of a request: what its code has assigned, for scopes in other threads, or for when it is over.

A copy is made once, of the scope that is current, and is independent of it from then on: it holds the values, shallow,
and what names the request, neither the scope nor its source. Any number of threads may open scopes with it at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TypeVar, cast

from tlctx._core.propagation import namespace_of
from tlctx._core.reports import close_after, close_reporting
from tlctx._core.scope import Scope, label_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from tlctx._core.context import RequestContext
    from tlctx._core.namespace import Namespace

__all__ = ["ScopeCopy", "assigned_values", "copy_scope"]

T = TypeVar("T")
P = ParamSpec("P")

_USE = "taking a snapshot"


def assigned_values(scope: Scope) -> dict[str, Any]:
    """The values of `scope` by name, without those that `per_request` methods have made: a copy makes its own.

    Nor are those in it that the class names in `not_copied`. The copy is shallow. Raises RequestEndedError after the
    scope's end.
    """
    scope._check_open("copying values")
    return _values_of(scope, scope.namespace, "copying values")


def _values_of(scope: Scope, namespace: Namespace, use: str) -> dict[str, Any]:
    values = dict(namespace)
    made = scope._made  # looked at after the values: whoever makes one notes it here first
    skip = type(scope.context)._local__not_copied
    if scope.ended:  # on another thread, just now
        scope._check_open(use)
    if not made and not skip:
        return values
    return {name: value for name, value in values.items() if made.get(name, made) is not value and name not in skip}


class Origin:
    """The request that a job belongs to, in the job's messages: its number, and what its label is made of."""

    __slots__ = ("label", "serial")

    def __init__(self, serial: int, label: str | tuple[Any, ...]) -> None:
        self.serial = serial
        self.label = label

    def __str__(self) -> str:
        label = label_text(self.label)
        return f"request #{self.serial} ({label})" if label else f"scope #{self.serial}"


class JobScope(Scope):
    """A scope that begins with a copy of a request's values; messages name that request.

    Its source are the copies: its own, and those for scopes of other contexts, which begin and end inside it.
    """

    __slots__ = ()

    @property
    def label(self) -> str:
        """What names the request that it is a copy of."""
        return label_text(self._label.label)  # type: ignore[union-attr]

    def __str__(self) -> str:
        return f"job #{self.serial} of {self._label}"

    def _enter(self) -> None:
        copies: tuple[ScopeCopy, ...] = self.source
        super()._enter()
        copies[0]._fill(self.namespace)
        for copy in copies[1:]:
            self.enter_context(copy.open())


class ScopeCopy:
    """A copy of the scope that is current for `context`: `open` and `run` make scopes that begin with its values.

    Raises OutsideRequestError where no request of `context` runs, RequestEndedError in code that its request has left
    behind.
    """

    __slots__ = ("_has_init", "_values", "context", "origin")

    def __init__(self, context: RequestContext) -> None:
        namespace = namespace_of(context)
        scope = namespace.scope
        if scope is None or scope.ended:
            namespace.check(_USE)
        self._values = _values_of(cast("Scope", scope), namespace, _USE)
        self.context = context
        self._has_init = type(context).__init__ is not object.__init__
        label: Any = scope._label  # type: ignore[union-attr]
        self.origin = label if type(label) is Origin else Origin(scope.serial, label)  # type: ignore[union-attr]

    def open(self, *others: ScopeCopy) -> Scope:
        """A scope for `with`, on any thread; scopes that begin with `others` begin and end inside it."""
        return JobScope(self.context, (self, *others), cast("str", self.origin))

    def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what `function(*args, **kwargs)` returns, which is called in a scope of its own.

        Raises what the teardown raises; where the function itself raises, that goes on, and both are reported.
        """
        scope = JobScope(self.context, (self,), cast("str", self.origin))
        del self  # so that an error's traceback does not keep the values
        scope.closes_early = True
        result: T = scope.call(_finish, close_after, None, _begin, scope, function, args, kwargs)
        return result

    def _fill(self, namespace: Namespace) -> None:
        values = self._values
        dict.update(namespace, values)  # they were in a namespace of this class, so no setter has to see them
        if len(namespace) != len(values) and not self._has_init:
            for name in _defaults_in(namespace, type(self.context)) - values.keys():
                dict.pop(namespace, name, None)  # the request has deleted it

    def __repr__(self) -> str:
        return f"<copy of {self.origin}>"

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("a request's copy can't be pickled: it may hold what must not leave the process")


def _begin(scope: Scope, function: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> T:
    copy: ScopeCopy = scope.source[0]
    if copy._has_init:
        scope.run_init()
    copy._fill(scope.namespace)
    del copy  # so that an error's traceback does not keep the values
    return function(*args, **kwargs)


def _finish(result: T, scope: Scope, _: object) -> T:
    close_reporting(scope)
    return result


def _defaults_in(namespace: Namespace, cls: Any) -> set[str]:
    return {name for name in namespace if name in cls._local__fields and name not in cls._local__not_copied}


def copy_scope(context: RequestContext) -> ScopeCopy | None:
    """A copy of the scope that is current for `context`; None where no request of it runs.

    Raises RequestEndedError in code that its request has left behind.
    """
    if namespace_of(context).scope is None:
        return None
    return ScopeCopy(context)
