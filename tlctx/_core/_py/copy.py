"""A copy of a request's values, and code that is run with it, in plain Python: `tlctx/_core/_c/copy.h` has it in C."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, ParamSpec, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from tlctx._core.context import RequestContext

__all__ = ["CopyBase"]

T = TypeVar("T")
P = ParamSpec("P")


class CopyBase:
    """A copy of a request's values, and code that is run in a scope that begins with it."""

    __slots__ = ("_values", "context", "origin")

    _kind: ClassVar[Any]
    """Of the scopes: it has `_begin`, `_finish` and `_close_after`."""

    def __init__(self, context: RequestContext, origin: Any, values: dict[str, Any]) -> None:
        self.context = context
        self.origin = origin
        self._values = values

    if TYPE_CHECKING:

        @classmethod
        def _take(cls, context: RequestContext) -> Self | None: ...

    @classmethod
    def take(cls, context: RequestContext) -> Self | None:
        """A copy of the scope that is current for `context`; None where no request of it runs.

        Raises RequestEndedError in code that its request has left behind.
        """
        return cls._take(context)

    def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what `function(*args, **kwargs)` returns, which is called in a scope that begins with the values.

        The scope ends with the call. Raises what the teardown raises; where the function itself raises, that goes on.
        Both are reported.
        """
        scope = self._kind(self.context, self, self.origin)
        del self  # so that an error's traceback does not keep the values
        scope.closes_early = True
        result: T = scope.call(_finish, scope._close_after, None, _begin, scope, function, args, kwargs)
        return result


def _begin(scope: Any, function: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> T:
    scope._begin()
    return function(*args, **kwargs)


def _finish(result: T, scope: Any, _: object) -> T:
    scope._finish()
    return result
