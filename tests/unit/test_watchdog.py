"""The watchdog: which requests it names, when, and what it leaves alone."""

from __future__ import annotations

import gc
import logging
import os
import queue
import threading
from collections.abc import Iterator
from typing import Any
from weakref import ref

import pytest
from support.helpers import PATIENCE, Boom, in_thread, run_program
from support.requests import answer, ctx

from tlctx import Scope
from tlctx.gunicorn import Watchdog, _watchdog, overdue, watch
from tlctx.lowlevel import bound, close_after

SOON = 0.01
NEVER = 3600.0


class Log(logging.Handler):
    """What is logged, record by record."""

    def __init__(self) -> None:
        super().__init__()
        self.records: queue.Queue[logging.LogRecord] = queue.Queue()

    def emit(self, record: logging.LogRecord) -> None:
        self.records.put(record)

    def next(self) -> str:
        return self.records.get(timeout=PATIENCE).getMessage()

    @property
    def is_empty(self) -> bool:
        return self.records.empty()


@pytest.fixture
def log() -> Iterator[Log]:
    logger = logging.getLogger("test of the watchdog")
    logger.propagate = False
    logger.addHandler(handler := Log())
    yield handler
    logger.removeHandler(handler)


@pytest.fixture(autouse=True)
def no_watchdog_is_left() -> Iterator[None]:
    yield
    _watchdog.stop_watching()
    assert "tlctx watchdog" not in [thread.name for thread in threading.enumerate()]


def start(after: float = SOON, **options: Any) -> Watchdog:
    return watch(after, logger=logging.getLogger("test of the watchdog"), **options)


def hang(log: Log) -> str:
    return log.next()  # it hangs here


def test_an_overdue_request_is_named_once_with_its_stack_and_again_when_it_ends(log: Log) -> None:
    start()
    found: list[str] = []
    before = overdue()

    def app(environ: Any, start_response: Any) -> Any:
        found.extend([str(Scope.current(ctx)), hang(log)])
        assert overdue() == (1, before.total + 1)
        return [b"x"]

    answer(app)
    name, message = found
    lines = message.splitlines()
    assert lines[0].startswith(f"{name}: overdue after ")
    assert f"on thread MainThread ({threading.get_ident()})" in lines[0]
    assert "    return log.next()  # it hangs here" in lines
    assert log.next().startswith(f"{name}: ended at last, after ")
    assert overdue() == (0, before.total + 1)
    assert log.is_empty


def test_the_error_that_ended_it_is_named(log: Log) -> None:
    start()
    with pytest.raises(Boom), ctx.scope():
        hang(log)
        raise Boom
    assert log.next().endswith(" s, with Boom")


def test_a_request_that_ends_in_time_is_not_named(log: Log) -> None:
    watchdog = start(NEVER)
    answer(lambda environ, start_response: [])
    assert watchdog._open == {}
    watchdog.stop()
    assert log.is_empty


def test_one_that_ends_does_not_cancel_the_others(log: Log) -> None:
    start()
    stuck = Scope(ctx)
    with bound(stuck):
        in_thread(lambda: answer(lambda environ, start_response: []))
        while not log.next().startswith(f"{stuck}: overdue"):
            pass
    stuck.close()


def test_what_was_open_before_it_started_is_watched_too(log: Log) -> None:
    with ctx.scope() as scope:
        start()
        assert log.next().startswith(f"{scope}: overdue")


def test_a_stream_that_waits_for_its_server_is_named_without_a_stack(log: Log) -> None:
    start()
    body = answer(lambda environ, start_response: (b"x" for _ in range(3)))
    iterator = iter(body)
    next(iterator)
    message = log.next()
    body.close()
    assert "no code of it runs now, " in message
    assert "\n" not in message
    assert f"last on thread MainThread ({threading.get_ident()})" in message


def test_the_chunks_that_were_sent_are_counted(log: Log) -> None:
    def stream() -> Iterator[bytes]:
        yield b"one"
        yield b"two"
        start()
        messages.append(hang(log))

    messages: list[str] = []
    list(answer(lambda environ, start_response: stream()))
    assert messages[0].splitlines()[0].endswith("), 2 chunks sent")


def test_requests_that_are_ignored_are_not_named(log: Log) -> None:
    asked = threading.Event()

    def ignore(scope: Scope) -> bool:
        if scope.label == "a long poll":
            asked.set()
        return scope.label == "a long poll"

    watchdog = start(ignore=ignore)
    with Scope(ctx, label="a long poll"):
        assert asked.wait(PATIENCE)
        with ctx.scope() as scope:
            assert log.next().startswith(f"{scope}: overdue")
    watchdog.stop()
    assert log.next().startswith(f"{scope}: ended")
    assert log.is_empty


def test_where_ignore_fails_the_request_is_named(log: Log) -> None:
    start(ignore=lambda scope: 1 / 0)
    with ctx.scope() as scope:
        assert log.next() == f"the watchdog's `ignore` failed for {scope}"
        assert log.next().startswith(f"{scope}: overdue")


def test_a_path_or_a_name_of_a_thread_forges_no_line(log: Log) -> None:
    start()
    messages: list[str] = []
    scope = Scope(ctx, label="GET /\r\n\x85\u2028\x1b[31mrequest #1: ended at last")

    def run() -> None:
        scope.run(lambda: messages.append(log.next()))

    thread = threading.Thread(target=run, name="gthread_1\nrequest #2: \x1b[0m")
    thread.start()
    thread.join(PATIENCE)
    scope.close()
    head, *stack = messages[0].splitlines()
    assert r"GET /\r\n\x85\u2028\x1b[31mrequest #1: ended at last" in head
    assert r"on thread gthread_1\nrequest #2: \x1b[0m (" in head
    assert all(line.startswith("  ") for line in stack)
    assert messages[0].replace("\n", "").isprintable()


def test_many_at_once_are_all_named_the_oldest_with_their_stacks(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_watchdog, "MOST_STACKS", 2)
    scopes = [Scope(ctx) for _ in range(4)]
    blocks = [bound(scope) for scope in scopes]
    for block in blocks:
        block.__enter__()
    watchdog = start()
    messages = [log.next() for _ in scopes]
    for block in reversed(blocks):
        block.__exit__(None, None, None)
    watchdog.stop()
    for scope in scopes:
        scope.close()
    assert [message.partition(": ")[0] for message in messages] == list(map(str, scopes))
    assert ["\n" in message for message in messages] == [True, True, False, False]


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
    logger = logging.getLogger("test of the watchdog")
    logger.addFilter(failing := Failing())
    try:
        start()
        with ctx.scope():
            assert log.next() == "the watchdog failed; it goes on"
            with ctx.scope() as second:
                assert log.next().startswith(f"{second}: overdue")
    finally:
        logger.removeFilter(failing)


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


def test_scopes_of_other_threads_and_jobs_are_watched(log: Log) -> None:
    start()
    scope = Scope(ctx, label="job 7")
    assert in_thread(lambda: scope.run(log.next)).startswith(f"{scope}: overdue")
    close_after(Boom(), scope)
    assert log.next().endswith("with Boom")


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
