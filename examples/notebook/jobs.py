"""Where jobs run: in threads of this process, or on Celery, on as many machines as there are.

Both take along what a job needs to know of its request, and give it a scope of its own. The threads have a copy of what
the request has assigned; to Celery goes what is listed here and nothing else.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from notebook.context import ctx
from notebook.exports import make_export
from tlctx.threads import ThreadPoolExecutor

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from celery import Celery
    from flask import Flask
    from sqlalchemy import Engine

__all__ = ["init_app"]

log = logging.getLogger(__name__)


def init_app(app: Flask) -> None:
    """Have `app.extensions["notebook.run_later"]` run an export, by its id, where the settings say."""
    broker = app.config["CELERY_BROKER_URL"]
    app.extensions["notebook.run_later"] = _on_celery(app, broker) if broker else _in_threads(app)


def _in_threads(app: Flask) -> Callable[[int], object]:
    # A thread starts with its first job. When the process ends, it waits for the jobs.
    app.extensions["notebook.pool"] = pool = ThreadPoolExecutor(2, "notebook-jobs", contexts=[ctx])

    def run_later(export_id: int) -> None:
        pool.submit(make_export, export_id).add_done_callback(_log_failure)

    return run_later


def _log_failure(job: Future[None]) -> None:
    error = job.exception()
    if error is not None:
        log.error("a job failed", exc_info=error)


def _on_celery(app: Flask, broker: str) -> Callable[[int], object]:
    from celery import Celery

    from tlctx.celery import install

    celery = Celery("notebook", broker=broker, set_as_current=False)
    celery.conf.update(
        task_ignore_result=True,  # the database has it
        task_acks_late=True,  # a job whose worker is killed runs again
        task_reject_on_worker_lost=True,
        broker_connection_retry_on_startup=True,
    )
    install(celery, ctx, fields=["user_id"])
    task = celery.task(make_export, name="notebook.make_export", shared=False)
    _forget_connections(celery, app.extensions["notebook.engine"])
    app.extensions["notebook.celery"] = celery
    return task.delay  # type: ignore[no-any-return]


def _forget_connections(celery: Celery, engine: Engine) -> None:
    """Have each process of a worker open database connections of its own, and not use those that it was forked with."""
    from celery.signals import worker_process_init

    def forget(**_: Any) -> None:
        engine.dispose(close=False)

    worker_process_init.connect(forget, weak=False, dispatch_uid="notebook")
