"""tlctx.logs with python-json-logger, structlog and loguru."""

from __future__ import annotations

import io
import json
import logging
from typing import Any

import pytest
from support.contexts import UserCtx
from support.helpers import in_thread, run_program
from support.logs import logger_to

from tlctx import Scope
from tlctx.logs import ContextFilter, LoguruPatcher, StructlogProcessor
from tlctx.lowlevel import bound
from tlctx.threads import snapshot


@pytest.fixture
def ctx() -> Any:
    return UserCtx()


def test_python_json_logger_writes_the_stamps_with_every_record(ctx: Any) -> None:
    pytest.importorskip("pythonjsonlogger", reason="needs python-json-logger")
    from pythonjsonlogger.json import JsonFormatter

    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.addFilter(ContextFilter(ctx, ["user"], default=None))
    handler.setFormatter(JsonFormatter(["levelname", "message"]))
    with ctx.scope(user="ann\nb"), bound(scope := Scope(ctx, {"tlctx.request_id": "abc-1"})):
        ctx.user = "a\nb"
        logger_to(handler).info("hello", extra={"rows": 3})
    logger_to(handler).info("outside")
    scope.close()
    assert [json.loads(line) for line in written.getvalue().splitlines()] == [
        {"levelname": "INFO", "message": "hello", "rows": 3, "request_id": "abc-1", "user": "a\\nb"},
        {"levelname": "INFO", "message": "outside", "request_id": None, "user": None},
    ]


def test_structlog_adds_them_to_every_event(ctx: Any) -> None:
    structlog = pytest.importorskip("structlog", reason="needs structlog")
    events: list[Any] = []

    def keep(logger: object, method_name: str, event_dict: Any) -> Any:
        events.append(dict(event_dict))
        raise structlog.DropEvent

    logger = structlog.wrap_logger(None, processors=[StructlogProcessor(ctx, ["user"]), keep])
    with ctx.scope(user="ann"):
        logger.bind(rows=3).info("hello")
        logger.info("explicit", user="of the call")
        in_thread(lambda: logger.info("plain thread"))
        taken = snapshot(ctx)
    in_thread(lambda: taken.run(logger.info, "snapshot"))
    assert events == [
        {"event": "hello", "rows": 3, "user": "ann", "request_id": "-"},
        {"event": "explicit", "user": "of the call", "request_id": "-"},
        {"event": "plain thread", "user": "-", "request_id": "-"},
        {"event": "snapshot", "user": "ann", "request_id": "-"},
    ]


def test_loguru_has_them_in_extra_also_where_it_writes_from_a_thread_of_its_own(ctx: Any) -> None:
    loguru = pytest.importorskip("loguru", reason="needs loguru")
    written: list[str] = []
    logger = loguru.logger.patch(LoguruPatcher(ctx, ["user"]))
    number = loguru.logger.add(written.append, format="{extra[user]} {extra[request_id]} {message}", enqueue=True)
    try:
        with ctx.scope(user="ann"):
            logger.info("hello")
            logger.bind(user="bound").info("explicit")
        logger.info("outside")
        loguru.logger.complete()
    finally:
        loguru.logger.remove(number)
    assert [line.rstrip("\n") for line in written] == ["ann - hello", "bound - explicit", "- - outside"]


def test_it_imports_no_library_of_logging_but_the_standard_one() -> None:
    program = "import sys, tlctx.logs; print(sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = run_program(program)
    assert "'tlctx'" in loaded
    assert not [name for name in ("structlog", "loguru", "pythonjsonlogger", "prometheus_client") if name in loaded]
