"""Scopes that are entered by hand and never left: they are closed with the request around them, and reported."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from support.helpers import Boom, in_thread
from support.requests import answer, ctx

from tlctx import Scope, counters
from tlctx._core.implementation import peek_dict


class Part:
    """Notes what it is told of at the end."""

    def __init__(self, log: list[str], name: str) -> None:
        self.log = log
        self.name = name

    def __enter__(self) -> None: ...

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        self.log.append(f"{self.name}: {error}")


def unleft() -> int:
    gc.collect()
    return counters().unleft_scopes


def leave_open(log: list[str], name: str) -> Scope:
    scope: Scope = ctx.scope(user=name).__enter__()
    ctx.enter_context(Part(log, name))
    return scope


@pytest.mark.parametrize("streams", [False, True], ids=["list", "stream"])
@pytest.mark.parametrize("outer_has_a_teardown", [False, True], ids=["plain", "with a teardown"])
def test_a_scope_that_is_never_left_is_closed_with_the_request(
    caplog: pytest.LogCaptureFixture, *, streams: bool, outer_has_a_teardown: bool
) -> None:
    log: list[str] = []
    caplog.clear()
    scopes: list[Any] = []

    def work() -> None:
        if outer_has_a_teardown:
            ctx.enter_context(Part(log, "outer"))
        scopes.extend([leave_open(log, "first"), leave_open(log, "second")])

    def stream(environ: Any, start_response: Any) -> Iterator[bytes]:
        work()
        yield b"x"

    def app(environ: Any, start_response: Any) -> list[bytes]:
        work()
        return [b"x"]

    before = unleft()
    body = answer(stream if streams else app)
    list(body)
    getattr(body, "close", list)()
    names = [line.partition(":")[0] for line in log]
    assert names == ["second", "first", *(["outer"] if outer_has_a_teardown else [])]
    assert all(scope.ended for scope in scopes)
    assert peek_dict(ctx) is None
    assert unleft() - before == 2
    messages = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert [str(scope) in message for scope, message in zip(reversed(scopes), messages, strict=True)] == [True, True]


def test_what_is_never_left_learns_of_the_requests_error() -> None:
    log: list[str] = []

    def app(environ: Any, start_response: Any) -> Any:
        leave_open(log, "inner")
        raise Boom("the request failed")

    with pytest.raises(Boom):
        answer(app)
    assert log == ["inner: the request failed"]


def test_what_is_never_left_in_a_request_that_went_well_is_told_so() -> None:
    log: list[str] = []

    def app(environ: Any, start_response: Any) -> Any:
        leave_open(log, "inner")
        return [b"x"]

    answer(app)
    assert "was entered and never left" in log[0]


def test_a_generator_that_requests_share_keeps_its_own_scope() -> None:
    log: list[str] = []

    def shared() -> Iterator[str]:
        with ctx.scope(user="shared"):
            ctx.enter_context(Part(log, "shared"))
            while True:
                yield "shared"

    generator = shared()

    def app(environ: Any, start_response: Any) -> list[bytes]:
        assert next(generator) == "shared"
        return [b"x"]

    before = unleft()
    for _ in range(3):
        answer(app)
    assert log == []
    generator.close()  # type: ignore[attr-defined]
    assert [line.partition(":")[0] for line in log] == ["shared"]
    assert unleft() == before


def test_a_scope_inside_another_one_that_is_never_left_is_closed_with_that() -> None:
    log: list[str] = []
    with ctx.scope():
        ctx.enter_context(Part(log, "outer"))
        leave_open(log, "inner")
    assert [line.partition(":")[0] for line in log] == ["inner", "outer"]
    assert peek_dict(ctx) is None


def test_a_scope_that_is_left_late_all_the_same_is_not_closed_twice() -> None:
    log: list[str] = []
    with ctx.scope():
        inner = leave_open(log, "inner")
    inner.leave()
    assert len(log) == 1


def test_a_scope_that_only_its_thread_knew_is_closed_when_the_thread_has_ended() -> None:
    log: list[str] = []

    def work() -> None:
        leave_open(log, "of the thread")

    before = unleft()
    in_thread(work)
    assert unleft() - before == 1
    assert "was entered and never left" in log[0]


def test_a_scope_that_nobody_can_leave_any_more_is_closed_by_the_next_one() -> None:
    log: list[str] = []
    before = unleft()
    leave_open(log, "lost")  # what it returns is dropped here
    with ctx.scope():
        assert len(log) == 1
    assert unleft() - before == 1
    assert peek_dict(ctx) is None


def test_a_scope_that_somebody_may_still_leave_stays_open() -> None:
    log: list[str] = []
    outer = leave_open(log, "outer")
    with ctx.scope():
        pass
    assert log == []
    assert ctx.user == "outer"
    outer.leave()
    assert log == ["outer: None"]
