"""The application that the tests' workers run: `celery -A support.celery_tasks`. It notes what it sees in Redis."""

from __future__ import annotations

import functools
import os
import threading
from typing import Any

from celery import Celery
from redis import Redis
from support.celery_app import TaskCtx, task_of
from support.helpers import PATIENCE, raise_boom

from tlctx.celery import install

ctx = TaskCtx()
app = Celery("tests", set_as_current=False)
install(app, ctx, ["user", "tags"])


def configure(url: str) -> None:
    """Have the application, and what it notes, use that server."""
    app.conf.update(
        broker_url=url,
        result_backend=url,
        worker_prefetch_multiplier=1,
        task_default_retry_delay=0,
        broker_connection_retry_on_startup=True,
        worker_hijack_root_logger=False,
        broker_transport_options={
            "visibility_timeout": float(os.environ.get("CELERY_TESTS_VISIBILITY", "3600")),
            # By default kombu looks every 100 seconds for messages to take over; with these two, every second.
            "unacked_restore_interval": 1,
            "unacked_restore_throttle": 1,
        },
    )
    redis.cache_clear()


@functools.cache
def redis() -> Any:
    """A client of this process: gevent's patches, and forks, came before the first one."""
    # By default redis-py gives up after 5 seconds, even in a `blpop` that may wait for longer.
    return Redis.from_url(app.conf.broker_url, decode_responses=True, socket_timeout=2 * PATIENCE)


def note(name: str, *values: object) -> None:
    """Append to a list that a test reads."""
    redis().rpush(name, " ".join(map(str, values)))


def wait(name: str) -> str:
    """What somebody else notes there next."""
    found = redis().blpop(name, timeout=PATIENCE)
    assert found is not None, f"nobody notes {name}"
    return str(found[1])


task = functools.partial(task_of, app)


@task(name="look")
def look(*_: Any) -> list[Any]:
    """What the task sees, after which it changes all of it."""
    seen = [ctx.user, ctx.get("tags"), ctx.secret]
    ctx.user, ctx.tags, ctx.secret = "changed", "changed", "changed"
    return seen


@task(name="meet")
def meet(other: str) -> list[Any]:
    """Runs while that of `other` runs: each waits for the other one. Returns what it saw before, and sees then."""
    me = str(ctx.user)
    ctx.callback(lambda: note("ended", ctx.user))
    note(f"met:{other}", me)
    met = wait(f"met:{me}")
    return [me, met, ctx.user, ctx.secret, threading.get_ident()]


@task(name="flaky", bind=True)
def flaky(self: Any) -> list[Any]:
    """Succeeds on the third try."""
    note("tries", self.request.retries, ctx.user)
    ctx.enter_context(Noting())
    if self.request.retries < 2:
        ctx.tags = "changed"
        raise self.retry(countdown=0)
    return [ctx.user, ctx.get("tags")]


@task(name="finish", bind=True)
def finish(self: Any) -> str:
    """Notes at its end whether its result is there already."""
    ctx.callback(lambda: note("stored", redis().exists(f"celery-task-meta-{self.request.id}")))
    return "a result"


@task(name="failing_commit")
def failing_commit() -> str:
    """Succeeds, but its teardown does not."""
    ctx.callback(raise_boom)
    return "never stored"


@task(name="slow", soft_time_limit=1)
def slow() -> None:
    """Waits for what never comes."""
    ctx.enter_context(Noting())
    redis().blpop("never", timeout=PATIENCE)


class Noting:
    """A context manager that notes the error that it is told."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        note("told", ctx.user, kind.__name__ if kind else "done")


@task(name="killed", acks_late=True, reject_on_worker_lost=True)
def killed() -> list[Any]:
    """On its first run it waits to be killed."""
    ctx.enter_context(Noting())
    starts = redis().incr("starts of killed")
    note("runs", os.getpid(), ctx.user, ctx.tags)  # from here on the test may kill it
    if starts == 1:
        redis().blpop("never", timeout=PATIENCE)
    return [ctx.user, ctx.tags]


if "CELERY_TESTS_URL" in os.environ:
    configure(os.environ["CELERY_TESTS_URL"])
