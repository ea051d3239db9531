"""What a worker that was told to exit has not finished, in time before the arbiter kills it.

The arbiter gives its workers `graceful_timeout` seconds, and then kills those that are left, which call no hook any
more. So a thread looks now and then whether the worker still serves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tlctx.gunicorn._reports import MOST_STACKS, describe
from tlctx.gunicorn._threads import make_lock, start_thread
from tlctx.lowlevel import open_scopes

if TYPE_CHECKING:
    import logging

    from gunicorn.workers.base import Worker

__all__ = ["LeavingWorker", "log_unfinished", "told"]

_NAP = 0.5
_SPARE = 2.0
"""Seconds before the kill at which it is logged; of short times the half."""


class LeavingWorker:
    """Waits on a thread of its own until `worker` has been told to exit, and logs what it can't finish."""

    def __init__(self, worker: Worker, logger: logging.Logger) -> None:
        self._worker = worker
        self._logger = logger
        self._stopped = False
        self._wake = make_lock()
        self._wake.acquire()
        start_thread(self._run, "tlctx leaving worker")

    def stop(self) -> None:
        """Log nothing more: the worker exits."""
        self._stopped = True

    def _run(self) -> None:
        grace = float(self._worker.cfg.graceful_timeout)
        while self._worker.alive and not self._stopped:
            self._wake.acquire(True, min(_NAP, grace / 8 or _NAP))
        if not self._stopped:
            self._wake.acquire(True, grace - min(_SPARE, grace / 2))
        if not self._stopped:
            log_unfinished(self._logger)


told: set[int] = set()
"""The serials of requests whose stack is in the log already."""


def log_unfinished(logger: logging.Logger) -> None:
    """Log the requests that are open, with the stacks that were not logged before."""
    try:
        for number, scope in enumerate(open_scopes()):
            details = describe(scope, with_stack=number < MOST_STACKS and scope.serial not in told)
            logger.error("%s: unfinished after %.1f s as its worker exits, %s", str(scope), scope.age, details)
            told.add(scope.serial)
    except Exception:
        logger.exception("tlctx could not tell what the worker leaves unfinished")
