"""ThreadPoolExecutor: its jobs run in scopes of their own, with the values of the request that submits them."""

from __future__ import annotations

import concurrent.futures
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from tlctx.lowlevel import ScopeCopy
from tlctx.threads._snapshot import DEFAULT, Wrapped, check_contexts, take, wrap_here

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future

    from tlctx import RequestContext

__all__ = ["ThreadPoolExecutor"]

T = TypeVar("T")
P = ParamSpec("P")


class ThreadPoolExecutor(concurrent.futures.ThreadPoolExecutor):
    """A `concurrent.futures.ThreadPoolExecutor` that takes a snapshot of the request that submits a job, for that job.

    `contexts` are those of which the snapshot is, by default `tlctx.ctx` alone; with `contextvars=True` the current
    context of `contextvars` is in it too. The job runs in a scope of its own, and its future has what the teardown of
    that raises. What is submitted where no request runs has no scope, as in any pool; `initializer` never has one.
    """

    def __init__(
        self,
        max_workers: int | None = None,
        thread_name_prefix: str = "",
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        *,
        contexts: Iterable[RequestContext] = DEFAULT,
        contextvars: bool = False,
    ) -> None:
        self._tlctx_contexts = check_contexts(contexts)
        self._tlctx_variables = contextvars
        self._tlctx_alone = None if contextvars or len(self._tlctx_contexts) != 1 else self._tlctx_contexts[0]
        super().__init__(max_workers, thread_name_prefix, initializer, initargs)

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have a thread call `fn(*args, **kwargs)`, with the values that the request has now."""
        if type(fn) is Wrapped:
            return super().submit(fn, *args, **kwargs)
        alone = self._tlctx_alone
        taken = take(self._tlctx_contexts, self._tlctx_variables) if alone is None else ScopeCopy.take(alone)
        if taken is None:
            return super().submit(fn, *args, **kwargs)
        return super().submit(taken.run, fn, *args, **kwargs)

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        **options: Any,
    ) -> Iterator[T]:
        """As the `map` there; all calls have the values of this moment, whenever they are submitted."""
        wrapped = wrap_here(fn, self._tlctx_contexts, self._tlctx_variables)
        return super().map(wrapped, *iterables, timeout=timeout, chunksize=chunksize, **options)
