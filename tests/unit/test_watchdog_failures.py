"""The watchdog: that it starts, ends and is forked well, and that no failure of others stops it."""

from __future__ import annotations

import gc
import logging
import os
from weakref import ref

import pytest
from support.helpers import Boom, run_program
from support.requests import ctx
from support.watchdog import LOGGER, NEVER, Log, start

from tlctx import Scope
from tlctx.gunicorn import overdue, watch


def test_where_ignore_fails_the_request_is_named(log: Log) -> None:
    start(ignore=lambda scope: 1 / 0)
    with ctx.scope() as scope:
        assert log.next() == f"the watchdog's `ignore` failed for {scope}"
        assert log.next().startswith(f"{scope}: overdue")


def test_a_scope_that_nobody_can_leave_is_still_found_by_the_collector(
    log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    watchdog = start(NEVER)
    scope = Scope(ctx)
    scope.run(int)
    reference, name = ref(scope), str(scope)
    assert list(watchdog._open) == [scope.serial]
    del scope
    gc.collect()
    assert reference() is None
    assert watchdog._open == {}
    assert f"{name}: it was entered and never left" in caplog.text


def test_a_log_that_fails_stops_nothing(log: Log) -> None:
    class Failing(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            if failures and "overdue" in record.getMessage():
                raise failures.pop()
            return True

    failures = [Boom()]
    LOGGER.addFilter(failing := Failing())
    try:
        start()
        with ctx.scope():
            assert log.next() == "the watchdog failed; it goes on"
            with ctx.scope() as second:
                assert log.next().startswith(f"{second}: overdue")
    finally:
        LOGGER.removeFilter(failing)


def test_stopping_it_ends_its_thread_and_logs_what_it_knows(log: Log) -> None:
    watchdog = start()
    with ctx.scope() as scope:
        assert "overdue" in log.next()
    watchdog.stop()
    assert log.next().startswith(f"{scope}: ended at last")
    watchdog.stop()
    with ctx.scope():
        assert watchdog._open == {}
    assert overdue().now == 0


def test_one_watchdog_takes_the_place_of_another(log: Log) -> None:
    first = start(NEVER)
    second = start(NEVER)
    with ctx.scope() as scope:
        assert (list(first._open), list(second._open)) == ([], [scope.serial])


@pytest.mark.parametrize("after", [0, -1, float("nan")])
def test_it_needs_a_time(after: float) -> None:
    with pytest.raises(ValueError, match="a number of seconds above 0"):
        watch(after)
    assert overdue().now == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_process_that_was_forked_has_a_watchdog_of_its_own() -> None:
    printed = run_program("""
    import os, sys, threading, warnings
    warnings.simplefilter("ignore", DeprecationWarning)  # of fork, in a process with threads
    import logging, queue
    from tlctx import ctx
    from tlctx.gunicorn import overdue, watch

    class Log(logging.Handler):
        def emit(self, record):
            records.put(record.getMessage())

    records = queue.Queue()
    logging.getLogger("tlctx").addHandler(Log())
    watch(0.01)
    with ctx.scope() as outer:
        assert records.get(timeout=60).startswith(f"{outer}: overdue")
        if not (child := os.fork()):
            assert overdue().now == 0
            assert threading.active_count() == 1
            with ctx.scope() as inner:
                message = records.get(timeout=60)
            assert message.startswith(f"{inner}: overdue"), message
            assert records.get(timeout=60).startswith(f"{inner}: ended")
            os._exit(7)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    print(records.get(timeout=60).partition(",")[0] == f"{outer}: ended at last")
    """)
    assert printed.split() == ["7", "True"]


def test_a_watchdog_that_runs_keeps_no_process_from_ending() -> None:
    assert run_program("from tlctx.gunicorn import watch; watch(1000); print('done')") == "done\n"


def test_its_module_imports_no_gunicorn() -> None:
    assert run_program("import sys, tlctx.gunicorn; print('gunicorn' in sys.modules)") == "False\n"


def test_the_collector_may_end_a_request_while_the_watchdog_looks(log: Log, caplog: pytest.LogCaptureFixture) -> None:
    watchdog = start(NEVER)
    scopes = [Scope(ctx) for _ in range(3_000)]
    for scope in scopes:
        scope.run(int)
    threshold = gc.get_threshold()
    gc.collect()
    gc.disable()
    try:
        Scope(ctx).run(int)  # the collector's, from here on
        gc.set_threshold(1_000)  # new objects: it runs in the middle of a list of all scopes
        gc.enable()
        watchdog._look()
    finally:
        gc.set_threshold(*threshold)
        gc.enable()
        for scope in scopes:
            scope.close()
    gc.collect()
    assert watchdog._open == {}
    assert "it was entered and never left" in caplog.text
