"""What the tests of Celery share: a context, an application in memory, and a worker that runs one message at a time."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Callable, Iterator
from queue import Empty
from typing import Any
from uuid import uuid4

from celery import Celery
from celery.app.trace import build_tracer
from kombu.transport.memory import Channel

from tlctx import RequestContext, per_request
from tlctx.celery import install

FIELDS = ("user", "tags")


class TaskCtx(RequestContext):
    user: str | None = "nobody"
    tags: Any
    secret: str = "none"

    @per_request
    def work(self) -> Iterator[list[str]]:
        """A piece of work that tells at its end whether the task has failed."""
        told: list[str] = []
        try:
            yield told
        except BaseException as error:
            told.append(type(error).__name__)
            raise
        else:
            told.append("done")


def make_app(ctx: RequestContext, *, fields: Any = FIELDS, eager: bool = False) -> Any:
    """An application of its own, on a broker and a result backend in memory, with `ctx` installed."""
    app = bare_app(eager=eager)
    install(app, ctx, fields)
    return app


def bare_app(*, eager: bool = False) -> Any:
    app: Any = Celery(f"app{uuid4().hex}", broker="memory://", backend="cache+memory://", set_as_current=False)
    app.conf.update(task_always_eager=eager, task_default_queue=app.main, task_default_retry_delay=0)
    return app


def messages_of(app: Any) -> Iterator[Any]:
    """The messages that lie in the queue, taken out of it one by one."""
    with app.connection() as connection, connection.SimpleQueue(app.main) as queue:
        while True:
            try:
                message = queue.get_nowait()
            except Empty:
                return
            message.ack()
            yield message


def wire_of(app: Any) -> list[str]:
    """All that lies in the queue, as the broker has it, with the bodies decoded."""
    with app.connection() as connection:
        channel: Channel = connection.default_channel
        found = [readable(message) for message in list(channel.queues[app.main].queue)]
    assert found
    return found


def readable(message: dict[str, Any]) -> str:
    """One message as text."""
    return json.dumps(message | {"body": b64decode(message["body"]).decode()})


def run_one(app: Any, message: Any) -> None:
    """Run the task of one message, as a worker does."""
    args, kwargs, embedded = message.decode()
    headers = dict(message.headers)
    task = app.tasks[headers["task"]]
    request = {
        **headers, **embedded, "args": args, "kwargs": kwargs, "is_eager": False, "hostname": "here",
        "delivery_info": message.delivery_info, "reply_to": message.properties.get("reply_to"),
    }  # fmt: skip
    build_tracer(task.name, task, app=app)(headers["id"], args, kwargs, request)


def run_all(app: Any) -> int:
    """Run the tasks of all messages, and of those that these send. Returns how many there were."""
    number = 0
    for number, message in enumerate(messages_of(app), 1):  # noqa: B007  # how many, at the end
        run_one(app, message)
    return number


def task_of(app: Any, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """`app.task(...)`, for functions that a test defines; other applications don't get them."""
    return app.task(shared=False, **options)  # type: ignore[no-any-return]
