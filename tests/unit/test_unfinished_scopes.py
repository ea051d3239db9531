"""Scopes whose end is struck again and again: they stay open, and the next scope closes and reports them."""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, NoReturn

import pytest
from support.ends import Empty, Full, Part, Struck, striking

import tlctx._bodies
import tlctx.wsgi
from tlctx import ContextMiddleware, RequestContext, Scope, counters
from tlctx._core.implementation import peek_dict, swap_dict
from tlctx._core.teardown import unfinished

ctx: RequestContext = Empty()


@pytest.fixture(autouse=True, params=[Empty, Full])
def _context(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "ctx", request.param())


class Stop(BaseException):
    """What the application raises."""


@pytest.fixture
def log() -> list[str]:
    return []


def serve(app: Callable[..., Any]) -> Any:
    return ContextMiddleware(app, ctx)({"REQUEST_METHOD": "GET", "PATH_INFO": "/"}, lambda *_: lambda data: None)


class Body:
    """A body with an iterator and a `close` of its own."""

    def __init__(self, begin: Callable[[], object] = bool, close: Callable[[], object] = bool) -> None:
        self.begin = begin
        self.close = close

    def __iter__(self) -> Iterator[bytes]:
        self.begin()
        return iter([b"x"])


def fail() -> NoReturn:
    raise Stop


def assert_the_next_scope_closes_it(log: list[str], caplog: pytest.LogCaptureFixture, error: str) -> None:
    assert log == []
    assert peek_dict(ctx) is None
    assert len(unfinished) == 1
    before = counters()
    caplog.clear()
    with caplog.at_level(logging.WARNING, "tlctx"), ctx.scope():
        pass
    gc.collect()
    assert log == [error]
    assert not unfinished
    assert counters().unleft_scopes == before.unleft_scopes + 1
    assert ["no stack was left to close it" in record.getMessage() for record in caplog.records] == [True]


def test_one_whose_step_failed(log: list[str], caplog: pytest.LogCaptureFixture) -> None:
    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        ctx.enter_context(Part(log))
        yield b"x"
        fail()

    body = serve(app)
    next(body)
    with striking(tlctx._bodies._Body, "_on_step_error"), pytest.raises(Struck):
        next(body)
    assert_the_next_scope_closes_it(log, caplog, "Stop")


def test_one_whose_step_failed_is_closed_at_once_if_the_second_try_is_not_struck(log: list[str]) -> None:
    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        ctx.enter_context(Part(log))
        yield b"x"
        fail()

    body = serve(app)
    next(body)
    with striking(tlctx._bodies._Body, "_on_step_error", times=range(1)), pytest.raises(Struck):
        next(body)
    assert log == ["Stop"]


def test_one_whose_step_could_not_begin_is_left_to_its_server(log: list[str]) -> None:
    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        ctx.enter_context(Part(log))
        yield b"x"
        yield b"y"

    body = serve(app)
    next(body)
    with striking(Scope, "bind"), suppress(Struck):  # which the C accelerator does not call
        next(body)
    assert not unfinished
    assert log == []
    body.close()
    assert log in (["Struck"], ["NoneType"])


def test_one_that_its_own_code_closes_before_it_fails_is_not_unfinished(log: list[str]) -> None:
    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        ctx.enter_context(Part(log))
        scope = Scope.current(ctx)
        assert scope is not None
        yield b"x"
        scope.close()
        fail()

    body = serve(app)
    next(body)
    with pytest.raises(Stop):
        next(body)
    assert log == ["NoneType"]
    assert not unfinished


def test_one_whose_body_failed_to_begin(log: list[str], caplog: pytest.LogCaptureFixture) -> None:
    body = serve(lambda environ, start_response: (ctx.enter_context(Part(log)), Body(begin=fail))[1])
    with striking(tlctx._bodies._Body, "_on_step_error"), pytest.raises(Struck):
        iter(body)
    assert_the_next_scope_closes_it(log, caplog, "Stop")


def test_one_whose_body_failed_to_close(log: list[str], caplog: pytest.LogCaptureFixture) -> None:
    fails = iter([fail])

    def close() -> None:
        for each in fails:
            each()

    body = serve(lambda environ, start_response: (ctx.enter_context(Part(log)), Body(close=close))[1])
    with striking(tlctx._bodies._Body, "_on_close_error"), pytest.raises(Struck):
        body.close()
    assert_the_next_scope_closes_it(log, caplog, "Stop")


def test_one_whose_application_failed(log: list[str], caplog: pytest.LogCaptureFixture) -> None:
    with striking(tlctx.wsgi, "close_after"), pytest.raises(Struck):
        serve(lambda environ, start_response: (ctx.enter_context(Part(log)), fail()))
    assert_the_next_scope_closes_it(log, caplog, "Stop")


def test_one_whose_body_was_dropped(
    log: list[str], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: None)

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        ctx.enter_context(Part(log))
        yield b"x"

    body = serve(app)
    next(body)
    with striking(tlctx._bodies, "_close_dropped"):
        del body
        gc.collect()
    gc.collect()
    assert log == []
    before = counters()
    with ctx.scope():
        pass
    gc.collect()
    assert log == ["NoneType"]
    assert counters().unleft_scopes == before.unleft_scopes + 1
    assert counters().dropped_bodies == before.dropped_bodies + 1
    assert not unfinished


def test_one_whose_file_was_dropped(log: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: None)

    def app(environ: Any, start_response: Any) -> Any:
        ctx.enter_context(Part(log))
        return environ["wsgi.file_wrapper"]()

    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "wsgi.file_wrapper": Body}
    body: Any = ContextMiddleware(app, ctx)(environ, lambda *_: lambda data: None)
    assert type(body) is Body
    with striking(tlctx._bodies, "_close_dropped"):
        del body
        gc.collect()
    assert log == []
    assert len(unfinished) == 1
    before = counters()
    with ctx.scope():
        pass
    assert log == ["NoneType"]
    assert counters().unleft_scopes == before.unleft_scopes + 1
    assert not unfinished


def test_one_whose_block_failed(log: list[str], caplog: pytest.LogCaptureFixture) -> None:
    scope = ctx.scope()
    with striking(Scope, "leave"), pytest.raises(Struck), scope:
        ctx.enter_context(Part(log))
        fail()
    assert list(unfinished) == [scope.serial]
    with ctx.scope():
        pass
    assert log == ["Stop"]
    assert scope.ended
    assert not unfinished


def test_one_that_is_dropped_while_it_is_open(
    log: list[str], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: None)
    scope = ctx.scope()
    scope.__enter__()
    ctx.enter_context(Part(log))
    swap_dict(ctx, None)
    with striking(Scope, "close_unleft"):
        del scope
        gc.collect()
    assert_the_next_scope_closes_it(log, caplog, "NoneType")
