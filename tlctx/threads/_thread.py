"""Thread and Timer: `threading`'s, with the values of the request that starts them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from tlctx.threads._snapshot import DEFAULT, check_contexts, take, wrap_here

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tlctx import RequestContext
    from tlctx.lowlevel import ScopeCopy
    from tlctx.threads._snapshot import Snapshot

__all__ = ["Thread", "Timer"]


class Thread(threading.Thread):
    """A `threading.Thread` whose `run` is called in scopes that begin with the values of the request that starts it.

    They are as they are when `start` is called. `contexts` and `contextvars` are as in `ThreadPoolExecutor`. What a
    teardown raises goes to `threading.excepthook`. Where no request runs, it is a plain thread.
    """

    _tlctx_contexts = DEFAULT
    _tlctx_variables = False
    _tlctx_taken: Snapshot | ScopeCopy | None = None
    _tlctx_own_run: Callable[[], None] | None = None  # that somebody has assigned to the object

    def __init__(
        self,
        group: None = None,
        target: Callable[..., object] | None = None,
        name: str | None = None,
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        daemon: bool | None = None,
        contexts: Iterable[RequestContext] = DEFAULT,
        contextvars: bool = False,
        **options: Any,
    ) -> None:
        self._tlctx_contexts = check_contexts(contexts)
        self._tlctx_variables = contextvars
        super().__init__(group, target, name, args, kwargs, daemon=daemon, **options)

    def start(self) -> None:
        """Start the thread, with the values that the request has now."""
        taken = None if self._tlctx_taken is not None else take(self._tlctx_contexts, self._tlctx_variables)
        if taken is None:
            super().start()
            return
        self._tlctx_taken = taken
        self._tlctx_own_run = vars(self).get("run")
        self.run = self._tlctx_run  # type: ignore[method-assign]  # of a subclass too
        try:
            super().start()
        except RuntimeError:  # no thread can be started
            self._tlctx_restore()
            raise

    def _tlctx_run(self) -> None:
        taken = self._tlctx_taken
        self._tlctx_restore()
        if taken is not None:
            taken.run(self.run)

    def _tlctx_restore(self) -> None:
        vars(self).pop("run", None)
        if self._tlctx_own_run is not None:
            self.run = self._tlctx_own_run  # type: ignore[method-assign]
        self._tlctx_taken = self._tlctx_own_run = None


class Timer(threading.Timer):
    """A `threading.Timer` that calls its function in scopes that begin with the values of the request that starts it.

    There is no scope while it waits, and none if it is cancelled. Else it is as `Thread`.
    """

    _tlctx_contexts = DEFAULT
    _tlctx_variables = False
    _tlctx_own_function: Callable[..., Any] | None = None
    function: Callable[..., Any]

    def __init__(
        self,
        interval: float,
        function: Callable[..., object],
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        *,
        contexts: Iterable[RequestContext] = DEFAULT,
        contextvars: bool = False,
    ) -> None:
        self._tlctx_contexts = check_contexts(contexts)
        self._tlctx_variables = contextvars
        super().__init__(interval, function, args, kwargs)

    def start(self) -> None:
        """Start the timer, with the values that the request has now."""
        own = self.function
        self.function = wrap_here(own, self._tlctx_contexts, self._tlctx_variables)
        self._tlctx_own_function = own
        try:
            super().start()
        except RuntimeError:  # no thread can be started
            self.function = own
            raise

    def run(self) -> None:
        """Wait, then call the function, unless the timer was cancelled."""
        try:
            super().run()
        finally:
            if self._tlctx_own_function is not None:
                self.function = self._tlctx_own_function  # so that nothing of the request is kept
