"""Snapshots: what requests have assigned at one moment, of one context or several, for scopes anywhere else."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, Generic, NoReturn, ParamSpec, TypeVar

from tlctx import RequestContext, Scope, ctx
from tlctx.lowlevel import ScopeCopy, check_context, copy_scope, copy_variables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextvars import Context

__all__ = ["DEFAULT", "Snapshot", "Wrapped", "check_contexts", "snapshot", "take", "wrap", "wrap_here"]

T = TypeVar("T")
P = ParamSpec("P")

DEFAULT: tuple[RequestContext, ...] = (ctx,)
"""The contexts of which a snapshot is taken where none is named."""


class Snapshot:
    """The values that the current requests of some contexts have assigned, for scopes in other threads: see `snapshot`.

    Any number of threads may use it at once, any number of times, also after the request's end. Each use makes scopes
    of its own, with teardowns of their own.
    """

    __slots__ = ("_copies", "_variables")

    def __init__(self, copies: tuple[ScopeCopy, ...], variables: Context | None) -> None:
        self._copies = copies
        self._variables = variables

    def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what `function(*args, **kwargs)` returns, which is called in scopes of its own.

        Raises what their teardown raises, if the function itself does not.
        """
        call: Callable[..., T] = function
        copy: ScopeCopy | None = None
        for copy in reversed(self._copies):
            call = functools.partial(copy.run, call)
        if self._variables is not None:  # no two threads can be in one context at the same time
            call = functools.partial(self._variables.copy().run, call)
        del self
        try:
            return call(*args, **kwargs)
        finally:
            del call, copy  # so that an error's traceback does not keep the values

    def wrap(self, function: Callable[P, T]) -> Callable[P, T]:
        """A function that does what `function` does, in scopes of its own each time that it is called.

        Raises TypeError for a generator or coroutine function, whose code would run when the scopes are over.
        """
        return Wrapped(self, _check_function(function))

    def scope(self) -> Scope:
        """A scope for `with`, which begins with the values; inside a coroutine too.

        With several contexts it is the first one's, and those of the others begin and end inside it. Raises
        RuntimeError for a snapshot with context variables: a block can't have them, `run` and `wrap` can.
        """
        if self._variables is not None:
            raise RuntimeError("a block can't take the place of context variables: use run() or wrap() of the snapshot")
        return self._copies[0].open(*self._copies[1:])

    def __repr__(self) -> str:
        return f"<Snapshot of {' and '.join(str(copy.origin) for copy in self._copies) or 'context variables'}>"

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("a Snapshot can't be copied or pickled: its values may be such as must not leave the process")


class Wrapped(Generic[P, T]):
    """A function that is called in the scopes of a snapshot; as it is, if that is None."""

    def __init__(self, taken: Snapshot | ScopeCopy | None, function: Callable[P, T]) -> None:
        functools.update_wrapper(self, function)
        self._taken = taken
        self._function = function

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        if self._taken is None:
            return self._function(*args, **kwargs)
        return self._taken.run(self._function, *args, **kwargs)

    def __repr__(self) -> str:
        return f"<{self._function!r} in {self._taken!r}>"


def snapshot(*contexts: RequestContext, contextvars: bool = False) -> Snapshot:
    """Take what the current request of each context has assigned, of `tlctx.ctx` if none is named: a shallow copy.

    Left out is what `per_request` methods have made, and what the class names in `not_copied`. With `contextvars=True`
    the current context of `contextvars` is in it too, for `run` and `wrap`.

    Raises OutsideRequestError where no request of one of the contexts runs, RequestEndedError in code that its request
    has left behind, TypeError for what is no context.
    """
    copies = tuple(copy_scope(context) for context in check_contexts(contexts or DEFAULT))
    return Snapshot(copies, copy_variables() if contextvars else None)


def wrap(function: Callable[P, T], /, *contexts: RequestContext, contextvars: bool = False) -> Callable[P, T]:
    """What `snapshot(*contexts).wrap(function)` returns: a function to hand to any thread or pool."""
    return snapshot(*contexts, contextvars=contextvars).wrap(function)


def take(contexts: tuple[RequestContext, ...], contextvars: bool) -> Snapshot | ScopeCopy | None:
    """A snapshot of those contexts of which a request runs here; None where there is nothing to take."""
    if len(contexts) == 1 and not contextvars:
        return ScopeCopy.take(contexts[0])
    copies = tuple(copy for context in contexts if (copy := ScopeCopy.take(context)) is not None)
    if not copies and not contextvars:
        return None
    return Snapshot(copies, copy_variables() if contextvars else None)


def wrap_here(function: Callable[P, T], contexts: tuple[RequestContext, ...], contextvars: bool) -> Callable[P, T]:
    """A function that runs with what `take` has taken here, wherever and whenever it is called."""
    if type(function) is Wrapped:
        return function
    return Wrapped(take(contexts, contextvars), function)


def check_contexts(contexts: Iterable[Any]) -> tuple[RequestContext, ...]:
    """The contexts, if they are some. Raises TypeError if not."""
    if isinstance(contexts, RequestContext):
        raise TypeError("contexts= takes several, in a list: contexts=[ctx]")
    contexts = tuple(contexts)
    for context in contexts:
        check_context(context, "a context")
    return contexts


def _check_function(function: Callable[P, T]) -> Callable[P, T]:
    if not callable(function):
        raise TypeError(f"wrap() takes a function, not {type(function).__name__}")
    plain = inspect.unwrap(function)
    if inspect.iscoroutinefunction(plain) or inspect.isasyncgenfunction(plain) or inspect.isgeneratorfunction(plain):
        name = getattr(plain, "__qualname__", repr(plain))
        raise TypeError(
            f"the code of {name} would run when the scopes are over, as a call of it only makes a coroutine or "
            "generator: inside it, use `with snapshot.scope():`"
        )
    return function
