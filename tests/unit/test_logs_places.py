"""The stamp is that of the request that runs where the record is made: threads, coroutines, queues, ended requests."""

from __future__ import annotations

import asyncio
import logging
import logging.config
import logging.handlers
import queue
import threading
from typing import Any

import pytest
from support.asgi import serve, within
from support.helpers import PATIENCE, in_foreign_thread, in_thread, start_nothing
from support.logs import Kept, logger_to
from support.requests import Request, ctx
from werkzeug.test import Client

from tlctx import ContextMiddleware, Scope
from tlctx.headers import Headers
from tlctx.logs import ContextFilter
from tlctx.lowlevel import bound
from tlctx.threads import ThreadPoolExecutor, snapshot

pytestmark = pytest.mark.usefixtures("nothing_is_left")


@pytest.fixture
def kept() -> Kept:
    return Kept(ContextFilter(fields=["user"]))


@pytest.fixture
def logger(kept: Kept) -> logging.Logger:
    return logger_to(kept)


def test_in_a_plain_thread_it_is_the_default_and_in_one_with_a_snapshot_the_values(
    kept: Kept, logger: logging.Logger
) -> None:
    with ctx.scope(user="ann", request_id="abc-1"):
        taken = snapshot()
        in_thread(lambda: logger.info("plain"))
        in_foreign_thread(lambda: logger.info("foreign"))
        in_thread(lambda: taken.run(logger.info, "with a snapshot"))
        with ThreadPoolExecutor(1) as pool:
            pool.submit(logger.info, "in a pool").result(PATIENCE)
    in_thread(lambda: taken.run(logger.info, "after the request"))
    assert kept.stamps("user", "request_id") == [("-", "-"), ("-", "-"), *[("ann", "abc-1")] * 3]


def test_streams_that_are_taken_in_turn_each_have_their_own(kept: Kept, logger: logging.Logger) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        ctx.user = environ["user"]
        start_response("200 OK", [])

        def body() -> Any:
            for _ in range(2):
                logger.info("chunk")
                yield b"chunk"

        return body()

    bodies: list[Any] = [ContextMiddleware(app, ctx)({"user": user}, start_nothing) for user in ("ann", "bob")]
    for _ in range(2):
        for body in bodies:
            next(iter(body))
        logger.info("of the server")
    for body in bodies:
        body.close()
    assert kept.stamps("user") == ["ann", "bob", "-", "ann", "bob", "-"]


def test_tasks_that_take_turns_each_have_their_own(kept: Kept, logger: logging.Logger) -> None:
    async def serve(user: str) -> None:
        scope = Scope(ctx, {"tlctx.request_id": f"of {user}"})
        scope.attach()
        ctx.user = user
        for _ in range(2):
            logger.info("turn")
            await asyncio.sleep(0)
        await asyncio.to_thread(logger.info, "in a thread")
        scope.close()
        logger.info("ended")
        scope.detach()
        logger.info("detached")

    async def main() -> None:
        await asyncio.gather(serve("ann"), serve("bob"))

    asyncio.run(main())
    found = kept.stamps("user", "request_id", "msg")
    assert found[:4] == [(user, f"of {user}", "turn") for user in ("ann", "bob")] * 2
    assert sorted(found[4:]) == [
        *[("-", "-", "detached")] * 2, *[("-", "-", "ended")] * 2,
        *[(user, f"of {user}", "in a thread") for user in ("ann", "bob")],
    ]  # fmt: skip


def test_an_asgi_request_has_the_id_of_its_headers_and_a_task_that_outlives_it_the_default(
    kept: Kept, logger: logging.Logger
) -> None:
    tasks: list[Any] = []

    async def late(ended: asyncio.Event) -> None:
        await ended.wait()
        logger.info("late")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        ctx.user = "ann"
        logger.info("served")
        tasks.append((asyncio.ensure_future(late(event := asyncio.Event())), event))

    async def around(scope: Any, receive: Any, send: Any) -> None:
        await within(Headers(ctx, None).asgi(app))(scope, receive, send)
        for task, event in tasks:
            event.set()
            await task

    scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"x-request-id", b"abc-1")]}
    serve(around, scope)
    assert kept.stamps("user", "request_id", "msg") == [("ann", "abc-1", "served"), ("-", "-", "late")]


def test_a_record_that_is_made_in_what_an_ended_request_has_left_has_nothing_of_it(
    kept: Kept, logger: logging.Logger
) -> None:
    scope = Scope(ctx, {"tlctx.request_id": "abc-1"})
    with bound(scope):
        ctx.user = "ann"
        in_thread(scope.close)
        logger.info("ended on another thread")
    logger.info("later")
    assert kept.stamps("user", "request_id") == [("-", "-")] * 2


def test_a_teardown_logs_with_the_values_and_its_failure_is_logged_without_them(
    kept: Kept, logger: logging.Logger
) -> None:
    def fail() -> None:
        logger.info("teardown")
        raise ValueError

    request = Request(lambda environ, start_response: [ctx.callback(fail) and b""], lambda environ: {"user": "ann"})
    logging.getLogger("tlctx").addHandler(kept)
    try:
        with pytest.raises(ValueError, match=r"^$"):
            request()
    finally:
        logging.getLogger("tlctx").removeHandler(kept)
    assert kept.stamps("user", "name") == [("ann", "notes"), ("-", "tlctx")]
    assert "(GET /path): its teardown failed" in kept.records[1].getMessage()


@pytest.mark.parametrize("outside", [True, False])
def test_a_wsgi_request_has_the_id_of_its_headers_wherever_these_are_read(
    outside: bool, kept: Kept, logger: logging.Logger
) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        logger.info("served")
        start_response("200 OK", [])
        return []

    headers = Headers(ctx, None)
    application: Any = (
        headers.wsgi(ContextMiddleware(app, ctx)) if outside else ContextMiddleware(headers.wsgi(app), ctx)
    )
    Client(application).get("/", headers={"X-Request-ID": "abc-1"})
    assert kept.stamps("request_id") == ["abc-1"]


def test_behind_a_queue_the_stamp_is_that_of_the_thread_that_made_the_record(kept: Kept) -> None:
    records: queue.SimpleQueue[Any] = queue.SimpleQueue()
    handler = logging.handlers.QueueHandler(records)
    handler.addFilter(ContextFilter(fields=["user"]))
    logger = logger_to(handler)
    listener = logging.handlers.QueueListener(records, kept)
    with ctx.scope(user="ann"):
        logger.info("first")
    with ctx.scope(user="bob"):
        listener.start()
        listener.stop()
    assert kept.stamps("user", "request_id") == [("ann", "-")]


def test_logging_can_be_configured_with_it() -> None:
    configured = {
        "version": 1,
        "filters": {"request": {"()": "tlctx.logs.ContextFilter", "ctx": "ext://tlctx.ctx", "fields": ["user"]}},
        "handlers": {"kept": {"()": "support.logs.Kept", "filters": ["request"]}},
        "loggers": {"notes.configured": {"handlers": ["kept"], "level": "INFO", "propagate": False}},
        "disable_existing_loggers": False,
    }
    logging.config.dictConfig(configured)
    logger = logging.getLogger("notes.configured")
    (handler,) = logger.handlers
    with ctx.scope(user="ann"):
        logger.info("hello")
    logger.removeHandler(handler)
    assert [vars(record)["user"] for record in handler.records] == ["ann"]  # type: ignore[attr-defined]


def test_threads_that_log_at_once_each_have_their_own(kept: Kept, logger: logging.Logger) -> None:
    ready = threading.Barrier(4, timeout=PATIENCE)

    def work(user: str) -> None:
        with ctx.scope(user=user):
            ready.wait()
            for _ in range(50):
                logger.info(user)

    threads = [threading.Thread(target=work, args=(user,)) for user in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert len(kept.records) == 200
    assert all(user == message for user, message in kept.stamps("user", "msg"))
