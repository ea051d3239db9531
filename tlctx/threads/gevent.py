"""gevent's `spawn` and `Pool`, with the values of the request that spawns. It needs gevent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

import gevent.pool

from tlctx.threads._snapshot import DEFAULT, check_contexts, wrap_here

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tlctx import RequestContext

__all__ = ["Pool", "spawn"]

T = TypeVar("T")
P = ParamSpec("P")


@overload
def spawn(
    function: Callable[..., T],
    /,
    *args: Any,
    contexts: Iterable[RequestContext],
    contextvars: bool = ...,
    **kwargs: Any,
) -> gevent.Greenlet[..., T]: ...
@overload
def spawn(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> gevent.Greenlet[P, T]: ...
def spawn(  # type: ignore[misc]  # which can't take a function's own `contexts`
    function: Callable[..., T],
    /,
    *args: Any,
    contexts: Iterable[RequestContext] = DEFAULT,
    contextvars: bool = False,
    **kwargs: Any,
) -> gevent.Greenlet[..., T]:
    """Do what `gevent.spawn` does; the function is called in scopes that begin with the request's values.

    `contexts` and `contextvars` are as in `tlctx.threads.ThreadPoolExecutor`.
    """
    return gevent.spawn(wrap_here(function, check_contexts(contexts), contextvars), *args, **kwargs)


class Pool(gevent.pool.Pool):
    """A `gevent.pool.Pool` whose greenlets call their functions in scopes that begin with the request's values.

    They are as they are when `spawn`, `map` or another method is called, whenever the greenlet begins.
    """

    def __init__(
        self,
        size: int | None = None,
        greenlet_class: type[gevent.Greenlet[..., Any]] | None = None,
        *,
        contexts: Iterable[RequestContext] = DEFAULT,
        contextvars: bool = False,
    ) -> None:
        self._tlctx_contexts = check_contexts(contexts)
        self._tlctx_variables = contextvars
        super().__init__(size, greenlet_class)

    def _tlctx_wrap(self, function: Callable[P, T]) -> Callable[P, T]:
        return wrap_here(function, self._tlctx_contexts, self._tlctx_variables)

    def spawn(self, func: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> gevent.Greenlet[P, T]:
        """As there."""
        return super().spawn(self._tlctx_wrap(func), *args, **kwargs)

    if not TYPE_CHECKING:  # those there have the types

        def apply(self, func, args=None, kwds=None):
            """As there."""
            return super().apply(self._tlctx_wrap(func), args, kwds)

        def apply_async(self, func, args=None, kwds=None, callback=None):
            """As there; `callback` is called outside the scopes."""
            return super().apply_async(self._tlctx_wrap(func), args, kwds, callback)

        def map(self, func, iterable):
            """As there; `iterable` is iterated outside the scopes."""
            return super().map(self._tlctx_wrap(func), iterable)

        def map_async(self, func, iterable, callback=None):
            """As there."""
            return super().map_async(self._tlctx_wrap(func), iterable, callback)

        def imap(self, func, *iterables, **kwargs):
            """As there."""
            return super().imap(self._tlctx_wrap(func), *iterables, **kwargs)

        def imap_unordered(self, func, *iterables, **kwargs):
            """As there."""
            return super().imap_unordered(self._tlctx_wrap(func), *iterables, **kwargs)
