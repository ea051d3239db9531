"""Exceptions from outside, a signal handler's for example, that strike where only tlctx's code could end a request."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from support.helpers import Boom

from tlctx import ContextMiddleware, RequestContext, Scope, per_request


class Timeout(Exception):
    """What the signal handler raises."""


class Ctx(RequestContext):
    @per_request
    def db(self) -> Iterator[int]:
        try:
            yield 1
        except BaseException as error:
            log.append(f"rolled back: {type(error).__name__}")
            raise
        else:
            log.append("committed")


ctx = Ctx()
log: list[str] = []


@pytest.fixture(autouse=True)
def _afresh() -> None:
    log.clear()


@contextmanager
def struck_on_entering(function: str) -> Iterator[None]:
    """Raise Timeout when `function` of tlctx is called for the first time: CPython looks for signals there."""

    def strike(frame: Any, event: str, argument: Any) -> None:
        if frame.f_code.co_name == function and "tlctx" in frame.f_code.co_filename:
            sys.settrace(tracer)
            raise Timeout

    tracer = sys.gettrace()  # that of coverage, if it is measured
    sys.settrace(strike)
    try:
        yield
    finally:
        sys.settrace(tracer)


def serve(app: Callable[..., Any]) -> Any:
    return ContextMiddleware(app, ctx)({"REQUEST_METHOD": "GET", "PATH_INFO": "/"}, lambda *args: lambda data: None)


def failing(environ: Any, start_response: Any) -> Any:
    ctx.db  # noqa: B018
    raise Boom


def a_list(environ: Any, start_response: Any) -> list[bytes]:
    ctx.db  # noqa: B018
    return []


def failing_stream(environ: Any, start_response: Any) -> Iterator[bytes]:
    ctx.db  # noqa: B018
    yield b"x"
    raise Boom


def test_a_failed_request_rolls_back_although_its_teardown_is_struck_before_it_runs() -> None:
    with pytest.raises(Boom), struck_on_entering("_run_teardown"):
        serve(failing)
    assert log == ["rolled back: Boom"]
    assert Scope.current(ctx) is None


def test_a_request_whose_teardown_is_struck_before_it_runs_rolls_back_because_of_that() -> None:
    with pytest.raises(Timeout), struck_on_entering("_run_teardown"):
        serve(a_list)
    assert log == ["rolled back: Timeout"]
    assert Scope.current(ctx) is None


def test_a_failed_request_ends_although_what_ends_it_is_struck() -> None:
    with pytest.raises(Timeout) as raised, struck_on_entering("close_after"):
        serve(failing)
    assert log == ["rolled back: Boom"]
    assert isinstance(raised.value.__context__, Boom)
    assert Scope.current(ctx) is None


def test_a_failed_step_of_a_body_ends_its_request_although_what_ends_it_is_struck() -> None:
    body = serve(failing_stream)
    assert next(body) == b"x"
    with pytest.raises(Timeout), struck_on_entering("_on_step_error"):
        next(body)
    assert log == ["rolled back: Boom"]
    body.close()
    assert log == ["rolled back: Boom"]
    assert Scope.current(ctx) is None


def test_a_body_that_fails_to_close_ends_its_request_although_what_ends_it_is_struck() -> None:
    class Body:
        def __iter__(self) -> Iterator[bytes]:
            return iter([b"x"])

        def close(self) -> None:
            raise Boom

    def app(environ: Any, start_response: Any) -> Body:
        ctx.db  # noqa: B018
        return Body()

    body = serve(app)
    with pytest.raises(Timeout), struck_on_entering("_on_close_error"):
        body.close()
    assert log == ["rolled back: Boom"]
    assert Scope.current(ctx) is None
