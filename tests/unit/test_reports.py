"""What tlctx had to clean up itself: logged once, with words that lead to the culprit, and counted."""

from __future__ import annotations

import re
import threading
from collections import UserList
from collections.abc import Callable
from typing import Any

import pytest
from support.contexts import UserCtx
from support.helpers import PATIENCE, Boom, in_thread, raise_boom, raising, run_program, start_nothing

from tlctx import ContextMiddleware, Counters, OutsideRequestError, Scope, counters
from tlctx._core.reports import report_dropped_body, report_failed_teardown, report_unleft_scope

ctx = UserCtx()
Counted = Callable[[], tuple[int, ...]]


def post(app: Any, path: str = "/report", query: str = "token=s3cret") -> Any:
    environ = {"REQUEST_METHOD": "POST", "PATH_INFO": path, "QUERY_STRING": query}
    return ContextMiddleware(app, ctx)(environ, start_nothing)


@pytest.fixture
def counted() -> Counted:
    """Dropped bodies and failed teardowns since the test began."""
    before = counters()
    return lambda: tuple(now - then for now, then in zip(counters(), before, strict=True))


@pytest.mark.parametrize("read", [list, lambda body: list(iter(body)), lambda body: [*zip(body, strict=True)]])
@pytest.mark.parametrize("make", [lambda: iter([b"a"]), lambda: (b"a" for _ in range(1)), lambda: UserList([b"a"])])
def test_a_body_that_was_read_to_its_end_and_then_dropped_ends_silently(
    make: Any, read: Any, counted: Counted, caplog: pytest.LogCaptureFixture
) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        ctx.callback(closed.append, "closed")
        return make()

    closed: list[str] = []
    body = post(app)
    assert read(body)
    assert closed == []
    del body
    assert closed == ["closed"]
    assert counted() == (0, 0, 0)
    assert caplog.records == []


def test_what_the_teardown_of_such_a_body_raises_is_reported_all_the_same(
    counted: Counted, caplog: pytest.LogCaptureFixture
) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        ctx.callback(raising, Boom("teardown"))
        return iter([b"a"])

    body = post(app)
    assert list(body) == [b"a"]
    del body
    assert counted() == (0, 1, 0)
    assert "Boom: teardown" in caplog.text


def test_a_body_of_which_one_chunk_was_left_is_reported(counted: Counted) -> None:
    body = post(lambda environ, start_response: iter([b"a", b"b"]))
    iterator = iter(body)
    assert [next(iterator), next(iterator)] == [b"a", b"b"]
    del body, iterator
    assert counted() == (1, 0, 0)


def test_nothing_is_reported_of_requests_that_end_as_they_should(
    counted: Counted, caplog: pytest.LogCaptureFixture
) -> None:
    post(lambda environ, start_response: [b"list"])
    post(lambda environ, start_response: iter([b"stream"])).close()
    with pytest.raises(Boom):
        post(lambda environ, start_response: raise_boom())
    assert counted() == (0, 0, 0)
    assert caplog.records == []


def test_a_dropped_body_is_a_warning_that_names_the_request_and_its_age(
    counted: Counted, caplog: pytest.LogCaptureFixture
) -> None:
    body = post(lambda environ, start_response: iter([b"stream"]))
    serial = body._scope.serial
    del body
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("tlctx", "WARNING")
    assert re.fullmatch(
        rf"request #{serial} \(POST /report\): the server dropped its body without close\(\), "
        r"\d+\.\d{3} s after it began",
        record.getMessage(),
    )
    assert "s3cret" not in caplog.text
    assert counted() == (1, 0, 0)


@pytest.mark.parametrize(
    ("app", "goes_on"),
    [
        pytest.param(lambda environ, start_response: [b"list"], Boom, id="list"),
        pytest.param(lambda environ, start_response: iter([b"stream"]), Boom, id="stream"),
        pytest.param(lambda environ, start_response: 1 / 0, ZeroDivisionError, id="raises"),
    ],
)
def test_a_failed_teardown_is_one_error_with_its_traceback_whatever_way_the_request_ends(
    app: Any, goes_on: type[Exception], counted: Counted, caplog: pytest.LogCaptureFixture
) -> None:
    def failing(environ: Any, start_response: Any) -> Any:
        ctx.callback(raise_boom)
        return app(environ, start_response)

    with pytest.raises(goes_on):
        post(failing).close()
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("tlctx", "ERROR")
    words = r"request #\d+ \(POST /report\): its teardown failed, \d+\.\d{3} s after it began"
    assert re.fullmatch(words, record.getMessage())
    assert record.exc_info is not None
    assert record.exc_info[0] is Boom
    assert "s3cret" not in caplog.text
    assert counted() == (0, 1, 0)


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_what_may_end_the_process_is_reported_too_when_a_teardown_raises_it(
    error: type[BaseException], counted: Counted, caplog: pytest.LogCaptureFixture
) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        ctx.callback(raising, error())
        return [b"list"]

    with pytest.raises(error):
        post(app)
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert counted() == (0, 1, 0)


@pytest.mark.parametrize("culprit", ["close", "teardown", "both"])
def test_what_fails_while_a_dropped_body_is_closed_is_one_error_of_its_own(
    culprit: str, counted: Counted, caplog: pytest.LogCaptureFixture
) -> None:
    ended: list[str] = []

    class Body:
        def __iter__(self) -> Any:
            return iter([b""])

        def close(self) -> None:
            ended.append("close")
            if culprit != "teardown":
                raise Boom("close")

    def app(environ: Any, start_response: Any) -> Any:
        ctx.callback(ended.append, "first")
        if culprit != "close":
            ctx.callback(raise_boom)
        ctx.callback(lambda: ended.append(ctx.user))
        return Body()

    post(app)
    assert [record.levelname for record in caplog.records] == ["WARNING", "ERROR"]
    assert "Boom" in caplog.text
    assert ended == ["close", "nobody", "first"]
    assert counted() == (1, 1, 0)


def test_a_dropped_body_whose_close_is_no_function_ends_its_scope_all_the_same(counted: Counted) -> None:
    class Body:
        close = "no function"

        def __iter__(self) -> Any:
            return iter([b""])

    def app(environ: Any, start_response: Any) -> Any:
        ctx.callback(ended.append, "teardown")
        return Body()

    ended: list[str] = []
    post(app)
    assert ended == ["teardown"]
    assert counted() == (1, 0, 0)


def test_a_scope_of_ones_own_tells_its_block_of_a_failed_teardown_and_nobody_else(
    counted: Counted, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(Boom), ctx.scope():
        ctx.callback(raise_boom)
    assert caplog.records == []
    assert counted() == (0, 0, 0)


def test_counts_are_right_when_many_threads_clean_up_at_once(
    counted: Counted, caplog: pytest.LogCaptureFixture
) -> None:
    start = threading.Barrier(8)

    def drop() -> None:
        start.wait(PATIENCE)
        for _ in range(100):
            post(lambda environ, start_response: iter([b""]))

    threads = [threading.Thread(target=drop) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert counted() == (800, 0, 0)
    assert len(caplog.records) == 800


def test_the_counts_have_names_and_can_be_read_anywhere() -> None:
    assert isinstance(in_thread(counters), Counters)
    assert Counters._fields == ("dropped_bodies", "failed_teardowns", "unleft_scopes")
    with pytest.raises(OutsideRequestError):
        ctx.user  # noqa: B018


def test_a_body_that_is_left_when_the_interpreter_ends_is_closed_too() -> None:
    printed = run_program("""
        import gc, logging
        from tlctx import ContextMiddleware, ctx

        def app(environ, start_response):
            ctx.callback(print, "closed")
            return iter([b""])

        logging.disable()
        gc.disable()
        body = ContextMiddleware(app, ctx)({"REQUEST_METHOD": "GET"}, lambda *_: None)
    """)
    assert printed == "closed\n"


def test_a_log_record_that_somebody_keeps_does_not_keep_the_scope(caplog: pytest.LogCaptureFixture) -> None:
    scope = ctx.scope()
    report_dropped_body(scope)
    report_failed_teardown(scope, Boom())
    report_unleft_scope(scope)
    assert len(caplog.records) == 3
    assert not [given for record in caplog.records for given in record.args or () if isinstance(given, Scope)]
