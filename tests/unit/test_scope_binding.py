"""Scope: who it is, and how it is bound to a thread and unbound, any number of times."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Generator, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from support.contexts import UserCtx, seen
from support.helpers import in_thread

from tlctx import ContextMiddleware, RequestEndedError, Scope


def test_a_serial_number_is_never_reused(ctx: UserCtx) -> None:
    serials = [ctx.scope().serial for _ in range(100)]
    assert serials == sorted(set(serials))


def test_a_scope_says_who_it_is(ctx: UserCtx) -> None:
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/notes", "QUERY_STRING": "token=s3cret"}
    scope = Scope(ctx, environ, ("REQUEST_METHOD", "PATH_INFO"))
    assert str(scope) == f"request #{scope.serial} (GET /notes)"
    assert scope.context is ctx
    assert scope.source is environ
    assert scope.age >= 0
    displaced = scope.bind()
    assert scope.thread == threading.get_ident()
    scope.unbind(displaced)
    scope.close()
    assert str(scope) == f"request #{scope.serial} (GET /notes)"
    assert scope.source is None


@pytest.mark.parametrize("part", ["REQUEST_METHOD", "PATH_INFO"])
def test_what_a_client_sends_cannot_forge_a_log_line(ctx: UserCtx, part: str) -> None:
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", part: "/a\nINFO forged\x85\u2028" + "x" * 1000}
    texts: list[str] = []

    def app(environ: Any, start_response: Any) -> list[bytes]:
        texts.append(str(Scope.current(ctx)))
        return []

    ContextMiddleware(app, ctx)(environ, lambda *args: lambda data: None)
    (text,) = texts
    assert "INFO forged" in text
    assert text.isascii()
    assert text.isprintable()
    assert len(text) < 1200


def test_the_current_scope_can_be_asked_for(ctx: UserCtx) -> None:
    assert Scope.current(ctx) is None
    with ctx.scope() as scope:
        assert Scope.current(ctx) is scope
        assert scope.current(ctx) is scope
        assert in_thread(lambda: Scope.current(ctx)) is None
        scope.close()
        assert Scope.current(ctx) is None


def test_nothing_of_a_scope_is_on_the_thread_between_its_pieces(ctx: UserCtx) -> None:
    scope = Scope(ctx)
    for step in range(3):
        displaced = scope.bind()
        assert seen(ctx) == ("nobody" if step == 0 else f"step {step - 1}")
        ctx.user = f"step {step}"
        scope.unbind(displaced)
        assert seen(ctx) == "nothing"
        assert ctx._local__impl.dicts == {}
    scope.close()


def test_scopes_taken_in_turn_on_one_thread_each_see_their_own(ctx: UserCtx) -> None:
    scopes = [Scope(ctx) for _ in range(3)]
    for step in range(3):
        for number, scope in enumerate(scopes):
            displaced = scope.bind()
            assert seen(ctx) == ("nobody" if step == 0 else f"{number}")
            ctx.user = f"{number}"
            scope.unbind(displaced)


def test_a_scope_goes_on_on_another_thread(ctx: UserCtx) -> None:
    scope = Scope(ctx)

    def piece() -> str:
        displaced = scope.bind()
        try:
            before, ctx.user = ctx.user, "written on another thread"
            return before
        finally:
            scope.unbind(displaced)

    assert in_thread(piece) == "nobody"
    assert piece() == "written on another thread"


def test_an_inner_scope_sees_nothing_of_the_outer_which_comes_back(ctx: UserCtx) -> None:
    with ctx.scope(user="outer", extra=1):
        outer = vars(ctx)
        with ctx.scope():
            assert (ctx.user, list(ctx)) == ("nobody", ["user"])
            ctx.user = "inner"
        assert ctx.user == "outer"
        assert vars(ctx) is outer


def test_two_contexts_do_not_touch_each_other(ctx: UserCtx) -> None:
    other = UserCtx()
    with ctx.scope(user="ann"):
        assert seen(other) == "nothing"
        with other.scope(user="bob"):
            assert (ctx.user, other.user) == ("ann", "bob")


def test_scopes_left_out_of_order_leave_nothing_on_the_thread(ctx: UserCtx) -> None:
    def work(user: str) -> Generator[str, None, None]:
        with ctx.scope(user=user):
            yield ctx.user
            yield ctx.user

    with ctx.scope(user="request"):
        first, second = work("first"), work("second")
        assert [next(first), next(second)] == ["first", "second"]
        first.close()
        assert seen(ctx) == "second"
        second.close()
        assert seen(ctx) == "request"
    assert ctx._local__impl.dicts == {}


def test_a_scope_that_ended_beneath_another_does_not_come_back(ctx: UserCtx) -> None:
    outer, inner = Scope(ctx), Scope(ctx)
    beneath_outer = outer.bind()
    beneath_inner = inner.bind()
    outer.close()
    assert ctx.user == "nobody"
    inner.unbind(beneath_inner)
    assert ctx._local__impl.dicts == {}
    outer.unbind(beneath_outer)
    inner.close()


def test_code_that_is_suspended_inside_an_inner_scope_goes_on_inside_it(ctx: UserCtx) -> None:
    def body() -> Iterator[str]:
        yield ctx.user
        with ctx.scope(user="inner"):
            yield ctx.user
            yield ctx.user
        yield ctx.user

    scope, steps = Scope(ctx), body()
    found = []
    for number in range(4):
        where: Any = in_thread if number == 2 else lambda piece: piece()

        def piece() -> str:
            displaced = scope.bind()
            try:
                return next(steps)
            finally:
                scope.unbind(displaced)

        found.append(where(piece))
        assert seen(ctx) == "nothing"
    assert found == ["nobody", "inner", "inner", "nobody"]


def test_a_scope_that_has_ended_can_be_neither_bound_nor_entered_nor_given_anything(ctx: UserCtx) -> None:
    with ctx.scope() as scope:
        pass
    for use in (
        scope.bind,
        scope.__enter__,
        lambda: scope.callback(print),
        lambda: scope.enter_context(contextlib.nullcontext()),
    ):
        with pytest.raises(RequestEndedError, match=f"scope #{scope.serial} has ended"):
            use()


def test_a_scope_is_entered_only_once(ctx: UserCtx) -> None:
    with ctx.scope() as scope, pytest.raises(RuntimeError, match="was entered or bound before"):
        scope.__enter__()
    assert ctx._local__impl.dicts == {}


def test_the_scope_of_a_request_cannot_be_entered_once_more(ctx: UserCtx) -> None:
    scope = Scope(ctx)
    displaced = scope.bind()
    with pytest.raises(RuntimeError, match="was entered or bound before"), scope:
        pass
    assert ctx.user == "nobody"
    scope.unbind(displaced)
    scope.close()


def test_the_age_of_a_scope_counts_from_its_start(ctx: UserCtx, monkeypatch: pytest.MonkeyPatch) -> None:
    before = time.monotonic()
    scope = Scope(ctx)
    assert before <= scope.started <= time.monotonic()
    monkeypatch.setattr("tlctx._core.scope.time", SimpleNamespace(monotonic=lambda: 3 * scope.started))
    assert scope.age == 3 * scope.started - scope.started


@pytest.mark.parametrize("returned", [[b"x"], None], ids=repr)
def test_a_call_that_leaves_no_code_to_run_closes_the_scope_and_has_nothing_wrapped(
    ctx: UserCtx, returned: Any
) -> None:
    scope = Scope(ctx)
    assert scope.call(lambda *args: "wrapped", None, None, lambda: returned) is returned
    assert scope.ended
    assert scope.close_if_idle()
