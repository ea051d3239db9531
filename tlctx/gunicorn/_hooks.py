"""Hooks for gunicorn's configuration, which it calls in each worker.

`post_worker_init` is called when the application is loaded, before the first request, with gevent's patches in place.
`worker_abort` is called where the worker handles SIGABRT, which the arbiter sends when the worker has not answered for
`timeout` seconds: between two instructions of its main thread, or in its event loop. `worker_exit` is called as the
worker's process ends; the threads of its requests may still run.
"""

from __future__ import annotations

import logging
import os
import sys
from traceback import StackSummary, walk_stack
from typing import TYPE_CHECKING, Any

from tlctx.gunicorn._leaving import LeavingWorker, log_unfinished, told
from tlctx.gunicorn._reports import MOST_STACKS, describe, format_stack, without_hooks
from tlctx.gunicorn._watchdog import stop_watching, watch
from tlctx.lowlevel import open_scopes

if TYPE_CHECKING:
    from collections.abc import Callable

    from gunicorn.arbiter import Arbiter
    from gunicorn.workers.base import Worker

    from tlctx import Scope

__all__ = ["post_worker_init", "worker_abort", "worker_exit"]

_DEFAULT_AFTER = 30.0
_leaving: list[LeavingWorker] = []
"""What waits until the worker of this process is told to exit."""


def post_worker_init(
    worker: Worker, *, after: float | None = None, ignore: Callable[[Scope], bool] | None = None
) -> None:
    """Watch the requests of a worker: start a watchdog, and log in time what it can't finish when it is told to exit.

    `after` and `ignore` are those of `watch`. `after` defaults to half of gunicorn's `timeout`, when a worker that
    serves one request at a time is not aborted yet; to 30 seconds where that is 0.
    """
    logger = _logger_of(worker)
    try:
        watch(after or worker.cfg.timeout / 2 or _DEFAULT_AFTER, ignore=ignore, logger=logger)
        _leaving.append(LeavingWorker(worker, logger))
    except Exception:
        logger.exception("tlctx's watchdog could not start")


def worker_abort(worker: Worker) -> None:
    """Log what each thread of a worker served that gunicorn aborts: the request, its age, and its stack."""
    logger = _logger_of(worker)
    try:
        scopes = open_scopes()
        logger.critical("worker %s is aborted: %s", worker.pid, _count(len(scopes)) if scopes else _main_stack())
        for number, scope in enumerate(scopes):
            told.add(scope.serial)
            details = describe(scope, with_stack=number < MOST_STACKS)
            logger.critical("%s: aborted after %.1f s, %s", str(scope), scope.age, details)
    except Exception:
        logger.exception("tlctx could not tell what the worker served")


def worker_exit(server: Arbiter, worker: Worker) -> None:
    """Log the requests that a worker leaves unfinished as it exits, and stop its watchdog."""
    pid: Any = worker.pid
    if pid != os.getpid():  # the arbiter calls it too, for a worker that is gone
        return
    logger = _logger_of(worker)
    try:
        stop_watching()
        while _leaving:
            _leaving.pop().stop()
    except Exception:
        logger.exception("tlctx's watchdog could not stop")
    log_unfinished(logger)


def _count(number: int) -> str:
    return "1 request is open" if number == 1 else f"{number} requests are open"


def _main_stack() -> str:
    stack = StackSummary.extract(walk_stack(sys._getframe(1)))
    stack.reverse()
    return f"it serves no request{format_stack(without_hooks(stack))}"


def _logger_of(worker: Worker) -> logging.Logger:
    """The logger "tlctx", if the application has configured logging; else gunicorn's error log."""
    logger = logging.getLogger("tlctx")
    theirs: Any = getattr(worker.log, "error_log", None)
    return theirs if isinstance(theirs, logging.Logger) and not logger.hasHandlers() else logger
