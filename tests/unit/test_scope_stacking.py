"""Scope: which one is current when those around it, or left open inside it, end in any order."""

from __future__ import annotations

import _thread
import gc
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from support.contexts import UserCtx, seen
from support.helpers import Boom, Timeout, in_foreign_thread, in_thread

from tlctx import Scope
from tlctx._core import threads as thread_records
from tlctx._core.context import AnyContext
from tlctx._core.implementation import peek_dict

if TYPE_CHECKING:
    from collections.abc import Callable

EVENT_LOOPS = ("asyncio", "trio", "curio")


def test_below_any_number_of_scopes_that_have_ended_the_nearest_open_one_is_found(ctx: UserCtx) -> None:
    with ctx.scope(user="open"):
        first, second, third = (ctx.scope(user=user).__enter__() for user in ("first", "second", "third"))
        first.close()
        second.close()
        assert seen(ctx) == "third"
        third.leave()
        assert seen(ctx) == "open"
    assert seen(ctx) == "nothing"


def left_open_inside(ctx: UserCtx) -> tuple[Scope, Scope]:
    """A scope that is bound nowhere, and the one that its code has left open."""
    outer = ctx.scope(user="never assigned: it is not entered")
    displaced = outer.bind()
    ctx.user = "outer"
    inner = ctx.scope(user="inner").__enter__()
    outer.unbind(displaced)
    assert seen(ctx) == "nothing"
    return outer, inner


@pytest.mark.parametrize("where", [lambda end: end(), in_thread], ids=["same-thread", "another-thread"])
def test_a_scope_does_not_go_on_in_an_inner_one_that_ended_meanwhile(
    ctx: UserCtx, where: Callable[[Callable[[], None]], None]
) -> None:
    outer, inner = left_open_inside(ctx)
    where(inner.close)
    displaced = outer.bind()
    assert seen(ctx) == "outer"
    outer.unbind(displaced)
    outer.close()


def test_a_teardown_runs_in_its_own_scope_although_another_was_left_open_inside(ctx: UserCtx) -> None:
    outer, inner = left_open_inside(ctx)
    log: list[str] = []
    outer.callback(lambda: log.append(ctx.user))
    outer.close()
    assert log == ["outer"]
    inner.close()
    assert seen(ctx) == "nothing"


@pytest.mark.parametrize("error", [Timeout, KeyboardInterrupt])
def test_an_unbinding_that_a_timeout_interrupts_takes_the_scope_off_all_the_same(
    ctx: UserCtx, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    def time_out(frame: Any, event: str, argument: Any) -> None:
        if frame.f_code.co_name == "current_record":
            sys.settrace(tracer)
            raise error

    tracer = sys.gettrace()  # that of coverage, if it is measured
    scope = Scope(ctx)
    displaced = scope.bind()
    in_thread(lambda: peek_dict(ctx))  # so that this thread has to be found anew, in Python
    monkeypatch.setattr(thread_records.storage, "kind", None)
    sys.settrace(time_out)
    try:
        with pytest.raises(error):
            scope.unbind(displaced)
    finally:
        sys.settrace(tracer)
    assert peek_dict(ctx) is None
    scope.close()


@pytest.mark.parametrize("run", [in_thread, in_foreign_thread], ids=["thread", "foreign-thread"])
def test_a_thread_that_comes_by_for_the_first_time_may_unbind(ctx: UserCtx, run: Any) -> None:
    scope = Scope(ctx)
    displaced = scope.bind()
    run(lambda: scope.unbind(None))
    assert seen(ctx) == "nobody"
    scope.unbind(displaced)
    assert peek_dict(ctx) is None
    scope.close()


@pytest.mark.parametrize("error", [Boom, KeyboardInterrupt, SystemExit])
def test_whatever_an_init_raises_closes_the_scope_that_was_being_entered(error: type[BaseException]) -> None:
    class Fails(UserCtx):
        def __init__(self) -> None:
            self.callback(log.append, "closed")
            raise error

    log: list[str] = []
    fails = Fails()
    scope = fails.scope()
    with pytest.raises(error):
        scope.__enter__()
    assert log == ["closed"]
    assert scope.ended
    assert peek_dict(fails) is None


def test_first_values_are_assigned_after_the_contexts_init_which_does_not_see_them() -> None:
    class Begins(UserCtx):
        def __init__(self) -> None:
            self.seen = self.user
            self.user = "of init"

    begins = Begins()
    with begins.scope(user="given"):
        assert (begins.seen, begins.user) == ("nobody", "given")


def test_empty_scopes_are_told_apart() -> None:
    empty = AnyContext()
    scope, inner = Scope(empty), empty.scope()
    displaced = scope.bind()
    inner.__enter__()
    scope.unbind(displaced)
    displaced = scope.bind()
    assert Scope.current(empty) is inner
    scope.unbind(displaced)
    inner.close()
    displaced = scope.bind()
    assert Scope.current(empty) is scope
    scope.unbind(displaced)
    scope.close()


def test_a_thread_that_ends_with_a_scope_bound_keeps_nothing_of_it(ctx: UserCtx) -> None:
    in_thread(Scope(ctx).bind)
    gc.collect()
    assert ctx._local__impl.dicts == {}


def test_a_scope_is_bound_where_threads_now_have_their_data(ctx: UserCtx, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when gevent patches `threading.local` while a thread runs inside a scope."""

    class Patched(_thread._local):
        pass

    def run() -> None:
        scope, other = Scope(ctx), Scope(ctx)
        displaced = scope.bind()
        with monkeypatch.context() as patch:
            patch.setattr(threading, "local", Patched)
            beneath = other.bind()
            assert Scope.current(ctx) is other
            other.unbind(beneath)
            assert Scope.current(ctx) is None
        scope.unbind(displaced)

    in_thread(run)  # a new one, of which nothing is known yet
    assert ctx._local__impl.dicts == {}


def test_scopes_nest_where_no_event_loop_was_ever_imported(ctx: UserCtx, monkeypatch: pytest.MonkeyPatch) -> None:
    async def coroutine() -> None:
        with ctx.scope():
            pass

    for name in EVENT_LOOPS:
        monkeypatch.delitem(sys.modules, name, raising=False)
    with ctx.scope(user="outer"):
        with ctx.scope(user="inner"):
            assert ctx.user == "inner"
        with pytest.raises(RuntimeError, match="can't be opened in a coroutine"):
            coroutine().send(None)
        assert ctx.user == "outer"
