"""The Celery application of the program of `ways.py`: `celery -A servers.ways_tasks`. It counts in Redis."""

from __future__ import annotations

import functools
import os
from typing import Any

from celery import Celery, chain
from celery.signals import task_failure, task_postrun
from redis import Redis
from servers.ways_context import plain, side
from servers.ways_looks import look, look_apart, look_outside, look_step, own_work, write_step
from servers.ways_tally import MISSING, tally

app = Celery("ways", broker=os.environ.get("WAYS_REDIS"), set_as_current=False)
app.conf.update(task_ignore_result=True, worker_hijack_root_logger=False, broker_connection_retry_on_startup=True)
side.serve_celery(app)


@functools.cache
def redis() -> Any:
    return Redis.from_url(os.environ["WAYS_REDIS"], decode_responses=True)


def send_tasks(user: str) -> None:
    """One task, a chain of two, and one that sends another."""
    for _ in range(4):
        tally.add("tasks sent")
    look_in_task.delay("task", user)
    chain(look_in_task.si("first task of a chain", user), look_in_task.si("second task of a chain", user)).delay()
    relay.delay(user)


@app.task(shared=False)  # type: ignore[untyped-decorator]
def look_in_task(place: str, user: str) -> None:
    look_apart(place, user, None)


@app.task(shared=False)  # type: ignore[untyped-decorator]
def relay(user: str) -> None:
    """Uses the pools of the worker, and sends a task."""
    look_apart("task", user, None)
    write_step("task", user)
    work = own_work()
    job = side.pool.submit(look_apart, "job of a task", user, work)
    wrapped = plain.submit(side.wrap(look_apart), "wrapped function of a task", user, work)
    outside = plain.submit(look_outside, "a worker's plain pool")
    tally.add("tasks sent")
    look_in_task.delay("task of a task", user)
    for each in (job, wrapped, outside):
        each.result()
    look("task", user)
    look_step("task", user)


@task_failure.connect  # type: ignore[untyped-decorator]
def note_failure(sender: Any, exception: Any, **_: Any) -> None:
    tally.note("failed task", MISSING, f"a success: {sender.name}: {exception!r}")


@task_postrun.connect  # type: ignore[untyped-decorator]
def store(**_: Any) -> None:
    """Add to the counts in Redis what was counted here: the workers may be several processes."""
    tally.add("tasks finished")
    taken = tally.take()
    with redis().pipeline() as pipeline:
        for name, number in taken["counts"].items():
            pipeline.hincrby("ways:counts", name, number)
        if taken["examples"]:
            pipeline.rpush("ways:examples", *taken["examples"])
        pipeline.execute()
