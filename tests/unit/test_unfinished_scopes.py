"""Scopes whose end is struck again and again: they stay open, and the next scope closes and reports them."""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import pytest

import tlctx._bodies
import tlctx.wsgi
from tlctx import ContextMiddleware, RequestContext, Scope, counters
from tlctx._core.implementation import peek_dict, swap_dict
from tlctx._core.teardown import unfinished


class Empty(RequestContext):
    """It has no values, so all its namespaces equal each other, and what has ended."""


class Full(RequestContext):
    user: str = "stranger"


ctx: RequestContext = Empty()


@pytest.fixture(autouse=True, params=[Empty, Full])
def _context(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "ctx", request.param())


class Struck(BaseException):
    """What arrives from outside."""


class Stop(BaseException):
    """What the application raises."""


class Part:
    """Notes with what error it was closed."""

    def __init__(self, log: list[str], error: BaseException | None = None) -> None:
        self.log = log
        self.error = error

    def __enter__(self) -> None: ...

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        self.log.append(type(error).__name__)
        if self.error is not None:
            raise self.error


@pytest.fixture
def log() -> list[str]:
    return []


@contextmanager
def striking(owner: Any, name: str) -> Iterator[None]:
    """A block in which each call of that function is struck."""

    def strike(*args: Any) -> NoReturn:
        raise Struck

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, strike)
        yield


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


def unfinished_scope(log: list[str], error: BaseException | None = None) -> Scope:
    """A scope that could not be closed."""
    scope = Scope(ctx)
    with striking(Scope, "leave"), pytest.raises(Struck), scope:
        ctx.enter_context(Part(log, error))
    swap_dict(ctx, None)
    assert scope.serial in unfinished
    assert log == []
    return scope


def test_the_close_of_another_closes_it_before_its_own_teardown_runs(log: list[str]) -> None:
    other = Scope(ctx)
    other.callback(log.append, "the other's")
    scope = unfinished_scope(log)
    other.close()
    assert scope.ended
    assert log == ["NoneType", "the other's"]
    assert not unfinished


def test_entering_another_closes_it_before_the_block_begins(log: list[str]) -> None:
    scope = unfinished_scope(log)
    with ctx.scope():
        assert scope.ended
        assert log == ["NoneType"]


def test_its_own_close_ends_it_once_and_reports_nothing(log: list[str]) -> None:
    before = counters()
    scope = unfinished_scope(log)
    scope.close()
    assert log == ["NoneType"]
    assert counters() == before
    assert not unfinished


@pytest.mark.parametrize("error", [ValueError, Struck])
def test_what_its_teardown_raises_is_reported_and_disturbs_nobody(
    log: list[str], caplog: pytest.LogCaptureFixture, error: type[BaseException]
) -> None:
    before = counters()
    scope = unfinished_scope(log, error())
    with ctx.scope():
        log.append("in the next")
    assert scope.ended
    assert log == ["NoneType", "in the next"]
    assert counters().failed_teardowns == before.failed_teardowns + 1
    assert counters().unleft_scopes == before.unleft_scopes + 1
    messages = [record.getMessage() for record in caplog.records]
    assert sum("its teardown failed" in message for message in messages) == 1
    assert sum("no stack was left" in message for message in messages) == 1
