"""gunicorn's hooks, called with what stands for a worker; `tests/integrations` has real ones."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from support.requests import ctx

from tlctx.gunicorn import _hooks, _leaving, _watchdog, post_worker_init, worker_abort, worker_exit

server: Any = None


@pytest.fixture
def worker() -> Iterator[Any]:
    cfg = SimpleNamespace(timeout=30, graceful_timeout=30)
    worker: Any = SimpleNamespace(pid=os.getpid(), cfg=cfg, alive=True, log=SimpleNamespace(error_log=None))
    yield worker
    worker_exit(server, worker)


@pytest.mark.parametrize(("timeout", "after", "expected"), [(30, None, 15.0), (0, None, 30.0), (30, 5, 5)])
def test_the_watchdogs_time_comes_from_gunicorns(worker: Any, timeout: int, after: Any, expected: float) -> None:
    worker.cfg.timeout = timeout
    post_worker_init(worker, after=after)
    (watchdog,) = _watchdog._watching
    assert watchdog.after == expected
    worker_exit(server, worker)
    assert _watchdog._watching == []


def test_a_hook_does_not_raise(worker: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    post_worker_init(worker, after=-1)
    for module in (_hooks, _leaving):
        monkeypatch.setattr(module, "open_scopes", lambda: 1 / 0)
    worker_abort(worker)
    worker_exit(server, worker)
    assert [record.getMessage() for record in caplog.records] == [
        "tlctx's watchdog could not start",
        "tlctx could not tell what the worker served",
        "tlctx could not tell what the worker leaves unfinished",
    ]


def test_the_arbiters_call_for_a_worker_that_is_gone_says_nothing(
    worker: Any, caplog: pytest.LogCaptureFixture
) -> None:
    worker.pid += 1
    with ctx.scope():
        worker_exit(server, worker)
    worker.pid -= 1
    assert caplog.records == []


def test_what_the_abort_has_shown_is_named_at_the_exit_without_a_stack(
    worker: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with ctx.scope() as first:
        worker_abort(worker)
        with ctx.scope() as second:
            worker_exit(server, worker)
    lines = [record.getMessage() for record in caplog.records]
    assert [line.partition(" after")[0] for line in lines] == [
        f"worker {worker.pid} is aborted: 1 request is open",
        f"{first}: aborted", f"{first}: unfinished", f"{second}: unfinished",
    ]  # fmt: skip
    assert ["\n" in line for line in lines] == [False, True, False, True]


def test_gunicorns_error_log_is_used_where_the_application_has_not_configured_logging(worker: Any) -> None:
    worker.log.error_log = theirs = logging.getLogger("gunicorn.error")
    tlctx = logging.getLogger("tlctx")
    before, tlctx.propagate = tlctx.propagate, False
    try:
        assert _hooks._logger_of(worker) is theirs
        tlctx.addHandler(handler := logging.NullHandler())
        assert _hooks._logger_of(worker) is tlctx
        tlctx.removeHandler(handler)
    finally:
        tlctx.propagate = before
