"""Streamed bodies: `close()`, an error and the collector end the scope, once."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from support.helpers import Boom, in_thread, raising
from support.requests import Closes, Request, nothing_is_current

from tlctx import ctx

pytestmark = pytest.mark.usefixtures("nothing_is_left")


def test_close_runs_the_bodys_own_close_first_inside_the_scope() -> None:
    log: list[Any] = []

    def app(environ: Any, start_response: Any) -> Any:
        ctx.user = "ann"
        ctx.callback(log.append, "end")
        return Closes(log)

    body = Request(app)()
    assert list(body) == [b"a"]
    body.close()
    assert log == [("close", "ann"), "end"]


def test_a_second_close_reaches_the_body_as_without_the_middleware_and_ends_nothing_twice() -> None:
    class Body(list[bytes]):
        def close(self) -> None:
            log.append("close")

    log: list[Any] = []
    request = Request(lambda environ, start_response: Body())
    body = request()
    body.close()
    body.close()
    assert (log, request.ended) == (["close", "close"], [(None, None)])


@pytest.mark.parametrize("error", [Boom, SystemExit, KeyboardInterrupt, GeneratorExit])
@pytest.mark.parametrize("steps", [0, 1])
def test_a_stream_that_raises_tells_the_teardown_when_it_is_closed(error: Any, steps: int) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        ctx.user = "ann"

        def body() -> Iterator[bytes]:
            for _ in range(steps):
                yield b"chunk"
            raise error

        return body()

    request = Request(app)
    body = request()
    with pytest.raises(error):
        list(body)
    assert nothing_is_current()
    body.close()
    assert request.ended == [(error, "ann")]


@pytest.mark.parametrize("error", [Boom, SystemExit, KeyboardInterrupt])
def test_a_close_that_raises_ends_the_scope_with_that(error: Any) -> None:
    class Body(list[bytes]):
        def close(self) -> None:
            raise error

    def app(environ: Any, start_response: Any) -> Any:
        ctx.user = "ann"
        return Body([b"a"])

    request = Request(app)
    body = request()
    with pytest.raises(error):
        body.close()
    assert request.ended == [(error, "ann")]
    assert nothing_is_current()


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_what_may_end_the_process_ends_the_scope_before_it_goes_on_and_the_bodys_close_runs_once(
    error: type[BaseException],
) -> None:
    class Body(Closes):
        def __iter__(self) -> Iterator[bytes]:
            raise error

    def app(environ: Any, start_response: Any) -> Any:
        ctx.user = "ann"
        return Body(closed)

    closed: list[Any] = []
    request = Request(app)
    with pytest.raises(error):
        next(request())
    assert nothing_is_current()
    assert (closed, request.ended) == ([("close", "ann")], [(error, "ann")])
    request.body.close()
    assert (closed, request.ended) == ([("close", "ann")], [(error, "ann")])


@pytest.mark.parametrize("where", [lambda drop: drop(), in_thread], ids=["same-thread", "another-thread"])
@pytest.mark.parametrize("in_a_cycle", [False, True], ids=["counted", "collected"])
def test_a_dropped_body_ends_its_scope_and_leaves_the_one_alone_that_is_current_there(
    where: Any, caplog: pytest.LogCaptureFixture, *, in_a_cycle: bool
) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        ctx.user = "ann"
        ctx.body = body = Closes(closed)
        if in_a_cycle:
            body.itself = body  # type: ignore[attr-defined]
        return body

    def drop() -> None:
        with ctx.scope(user="current"):
            if in_a_cycle:
                bodies[0].cycle = [bodies]
            bodies.clear()
            request.__dict__.pop("body")
            gc.collect()
            assert ctx.user == "current"

    closed: list[Any] = []
    request = Request(app)

    class Holder(list[Any]):
        pass

    bodies = Holder([Holder([request()])])
    where(drop)
    assert request.ended == [(None, "ann")]
    assert closed == [("close", "ann")]
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("tlctx", logging.WARNING)
    assert "(GET /path): the server dropped its body without close()" in record.getMessage()
    assert "s3cret" not in caplog.text


def test_what_fails_while_a_dropped_body_is_closed_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        ctx.callback(raising, Boom("teardown"))
        return iter([b"a"])

    request = Request(app)
    request()
    del request.body
    assert [record.levelname for record in caplog.records] == ["WARNING", "ERROR"]
    assert "Boom: teardown" in caplog.text
    assert request.ended == [(Boom, None)]


@pytest.mark.parametrize("error", [Boom, KeyboardInterrupt, SystemExit])
def test_nothing_that_the_teardown_of_a_dropped_body_raises_gets_out_of_the_finalizer(
    error: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        ctx.callback(raising, error("teardown"))
        return iter([b"a"])

    unraisable: list[Any] = []
    monkeypatch.setattr("sys.unraisablehook", unraisable.append)
    request = Request(app)
    request()
    del request.body
    assert request.ended == [(error, None)]
    assert unraisable == []


def test_what_may_end_the_process_goes_on_although_the_teardown_raises_the_like() -> None:
    def app(environ: Any, start_response: Any) -> Any:
        ctx.callback(raising, KeyboardInterrupt("teardown"))
        return (raising(SystemExit("stream")) for _ in range(1))

    request = Request(app)
    with pytest.raises(SystemExit, match="stream"):
        next(request())
    assert request.ended == [(KeyboardInterrupt, None)]
