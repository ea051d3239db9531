"""Exceptions from outside that strike while a scope is bound or unbound. In the C accelerator none can arrive there."""

from __future__ import annotations

import gc
import linecache
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import pytest
from support.helpers import Boom, Timeout, start_nothing

from tlctx import ContextMiddleware, RequestContext, Scope
from tlctx.lowlevel import bound


class Ctx(RequestContext):
    user: str = "stranger"


ctx = Ctx()


class Transaction:
    """Notes how it ended."""

    def __init__(self, log: list[str]) -> None:
        self.log = log

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self.log.append(type(error).__name__)


@pytest.fixture
def log() -> list[str]:
    return []


@pytest.fixture
def struck(implementation: str) -> Callable[..., AbstractContextManager[Any]]:
    """A block in which the pure-Python implementation is struck, and out of which that error comes."""

    @contextmanager
    def block(function: str, line: str = "") -> Iterator[None]:
        with pytest.raises(Timeout), striking(function, line):
            yield

    return block if implementation == "python" else lambda *_: nullcontext()


@contextmanager
def striking(function: str, line: str = "") -> Iterator[None]:
    """Raise Timeout when this function of tlctx is called for the first time, or comes to a line that begins so."""

    def strike(frame: Any, event: str, argument: Any) -> Any:
        if frame.f_code.co_name != function or "tlctx" not in frame.f_code.co_filename:
            return None
        if not line or linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip().startswith(line):
            sys.settrace(tracer)
            raise Timeout
        return strike

    tracer = sys.gettrace()  # that of coverage, if it is measured
    sys.settrace(strike)
    try:
        yield
    finally:
        sys.settrace(tracer)


def serve(app: Callable[..., Any]) -> Any:
    return ContextMiddleware(app, ctx)({"REQUEST_METHOD": "GET", "PATH_INFO": "/"}, start_nothing)


def streaming(log: list[str], error: BaseException | None = None) -> Any:
    """The body of a stream with a transaction: a step that yields, and one that fails if there is an error."""

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        ctx.enter_context(Transaction(log))
        yield b"x"
        if error is not None:
            raise error
        yield b"y"

    return serve(app)


@pytest.mark.parametrize("line", ["", "record ="])
def test_what_runs_in_a_scope_leaves_nothing_bound_although_unbinding_is_struck(struck: Any, line: str) -> None:
    scope = Scope(ctx)
    with struck("unbind", line):
        scope.run(int)
    assert Scope.current(ctx) is None
    scope.close()


def test_a_block_with_a_scope_bound_leaves_nothing_although_unbinding_is_struck(struck: Any) -> None:
    scope = Scope(ctx)
    with struck("unbind"), bound(scope):
        pass
    assert Scope.current(ctx) is None
    scope.close()


def test_a_scope_whose_binding_is_struck_as_it_returns_is_not_bound(struck: Any) -> None:
    scope = Scope(ctx)
    with struck("bind", "return displaced"):
        scope.run(int)
    assert Scope.current(ctx) is None
    scope.close()


def test_a_scope_whose_binding_over_another_is_struck_as_it_returns_leaves_that_one_bound(struck: Any) -> None:
    inner = Scope(ctx)
    with ctx.scope() as outer:
        with struck("_displace", "return displaced"):
            inner.run(int)
        assert Scope.current(ctx) is outer
    inner.close()


def test_a_scope_that_was_unbound_over_another_gives_it_back_although_unbinding_is_struck(struck: Any) -> None:
    inner = Scope(ctx)
    with ctx.scope() as outer:
        with struck("unbind"):
            inner.run(int)
        assert Scope.current(ctx) is outer
    inner.close()


def test_a_request_that_is_struck_as_its_stream_goes_to_the_server_ends_with_that(struck: Any, log: list[str]) -> None:
    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        ctx.enter_context(Transaction(log))
        return iter([b"x"])

    with struck("unbind"):
        body = serve(app)
        log.append("nothing struck")
        body.close()
    assert Scope.current(ctx) is None
    assert log in (["Timeout"], ["nothing struck", "NoneType"])


def test_a_step_that_is_struck_as_it_is_over_ends_its_request_with_that(struck: Any, log: list[str]) -> None:
    body = streaming(log)
    next(body)
    with struck("unbind"):
        next(body)
        log.append("nothing struck")
    assert Scope.current(ctx) is None
    assert log in (["Timeout"], ["nothing struck"])
    body.close()


def test_a_step_that_failed_and_is_struck_then_ends_its_request_with_its_own_error(struck: Any, log: list[str]) -> None:
    body = streaming(log, Boom())
    next(body)
    with struck("unbind"), pytest.raises(Boom):
        next(body)
    assert Scope.current(ctx) is None
    assert log == ["Boom"]


def test_a_body_that_is_struck_as_it_is_closed_leaves_nothing_bound(struck: Any, log: list[str]) -> None:
    for body in (streaming(log), serve(lambda environ, start_response: iter([b"x"]))):  # with a teardown, and without
        next(body)
        with struck("unbind"):
            body.close()
        assert Scope.current(ctx) is None
    assert log == ["NoneType"]


def test_a_body_whose_drop_is_struck_is_closed_all_the_same(log: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    raised: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: raised.append(type(unraisable.exc_value)))
    body = streaming(log)
    next(body)
    with striking("_on_drop"):
        del body
        gc.collect()
    assert raised == [Timeout]
    assert log == ["NoneType"]
    assert Scope.current(ctx) is None


def test_a_block_that_binds_a_scope_and_is_struck_as_it_begins_leaves_nothing(struck: Any) -> None:
    scope = Scope(ctx)
    with struck("__enter__", "return self._scope"), bound(scope):
        pass
    assert Scope.current(ctx) is None
    scope.close()


def test_a_block_whose_leaving_is_struck_ends_its_scope_all_the_same(struck: Any, log: list[str]) -> None:
    with struck("leave"), ctx.scope():
        ctx.enter_context(Transaction(log))
    assert Scope.current(ctx) is None
    assert log == ["NoneType"]
