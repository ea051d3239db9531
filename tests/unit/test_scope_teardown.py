"""Scope: its teardown runs whole, once, last in first out, and no error of it is lost."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from support.contexts import UserCtx
from support.helpers import Boom, raising

from tlctx import Scope, per_request
from tlctx._core import errors, teardown


def test_teardown_runs_once_last_in_first_out_with_the_scope_bound(ctx: UserCtx) -> None:
    log: list[str] = []
    with ctx.scope(user="ann") as scope:
        ctx.callback(lambda word: log.append(f"{word} {ctx.user}"), "first")
        with_lock = ctx.enter_context(threading.Lock())
        ctx.callback(log.append, "second")
        assert with_lock
    scope.close()
    assert log == ["second", "first ann"]


def test_all_of_it_runs_even_if_parts_raise_and_the_last_error_is_raised(ctx: UserCtx) -> None:
    log: list[str] = []
    with pytest.raises(Boom, match="second") as caught, ctx.scope():
        ctx.callback(log.append, "before")
        ctx.callback(raising, Boom("second"))
        ctx.callback(log.append, "between")
        ctx.callback(raising, Boom("first"))
        ctx.callback(log.append, "after")
    assert log == ["after", "between", "before"]
    assert str(caught.value.__context__) == "first"
    assert ctx._local__impl.dicts == {}


def test_no_error_of_a_teardown_is_lost(ctx: UserCtx) -> None:
    body, first, second = (Boom(text) for text in ("body", "first", "second"))
    with pytest.raises(Boom), ctx.scope():
        ctx.callback(raising, second)
        ctx.callback(raising, first)
        raise body
    assert errors.context_chain(second) == [second, first, body]


def test_an_error_that_the_teardown_raises_twice_makes_no_endless_chain(ctx: UserCtx) -> None:
    first, second = Boom("first"), Boom("second")
    with pytest.raises(Boom, match="first"), ctx.scope():
        for error in (first, second, first):
            ctx.callback(raising, error)
    assert len(errors.context_chain(first)) <= 2


@pytest.mark.parametrize("error", [Boom, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_teardown_learns_of_the_exception_which_goes_on(ctx: UserCtx, error: Any) -> None:
    learned: list[Any] = []

    class Transaction:
        def __enter__(self) -> None: ...
        def __exit__(self, *exc: object) -> None:
            learned.append(exc[0])

    with pytest.raises(error), ctx.scope():
        ctx.enter_context(Transaction())
        raise error
    assert learned == [error]


def test_a_context_manager_that_swallows_does_so_for_the_teardown_but_not_for_the_caller(ctx: UserCtx) -> None:
    with pytest.raises(Boom), ctx.scope():
        ctx.enter_context(contextlib.suppress(Boom))
        raise Boom


def test_what_a_context_manager_swallows_the_parts_after_it_do_not_learn_of(ctx: UserCtx) -> None:
    class Learns(contextlib.AbstractContextManager[None]):
        def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
            learned.append(kind)

    learned: list[Any] = []
    with pytest.raises(Boom), ctx.scope():
        ctx.enter_context(Learns())
        ctx.enter_context(contextlib.suppress(Boom))
        ctx.enter_context(Learns())
        raise Boom
    assert learned == [Boom, None]


def test_an_exception_that_somebody_handled_reaches_the_teardown(ctx: UserCtx) -> None:
    learned: list[Any] = []
    with ctx.scope() as scope:
        scope.enter_context(contextlib.ExitStack()).push(lambda *exc: learned.append(exc[1]))
        handled = Boom()
        scope.fail(handled)
    assert learned == [handled]


def test_what_teardown_itself_adds_runs_too(ctx: UserCtx) -> None:
    log: list[str] = []

    class Mine(UserCtx):
        @per_request
        def late(self) -> Iterator[str]:
            yield "late"
            log.append("late closed")

    mine = Mine()
    with mine.scope():
        mine.callback(lambda: log.append(mine.late))
        mine.callback(lambda: mine.callback(log.append, "added at the end"))
    assert log == ["added at the end", "late", "late closed"]


def test_closing_inside_teardown_does_nothing(ctx: UserCtx) -> None:
    log: list[str] = []
    with ctx.scope() as scope:
        scope.callback(log.append, "first")
        scope.callback(scope.close)
    assert log == ["first"]


def test_a_scope_closed_on_a_thread_that_serves_another_leaves_that_one_alone(ctx: UserCtx) -> None:
    log: list[str] = []
    late = Scope(ctx)
    late.callback(lambda: log.append(ctx.user))
    with ctx.scope(user="current"):
        late.close()
        assert ctx.user == "current"
    assert log == ["nobody"]


@pytest.mark.parametrize("thing", [None, "text", object, threading.Thread])
def test_what_is_no_context_manager_is_refused_and_the_scope_goes_on(ctx: UserCtx, thing: Any) -> None:
    with ctx.scope():
        with pytest.raises(TypeError, match="context manager protocol"):
            ctx.enter_context(thing)
        with pytest.raises(TypeError, match="needs a function to call"):
            ctx.callback("not callable")  # type: ignore[arg-type]
        assert ctx.user == "nobody"


class FalsyError(Exception):
    def __len__(self) -> int:
        return 0


def test_an_exception_that_counts_as_false_is_an_exception(ctx: UserCtx) -> None:
    learned: list[Any] = []
    error = FalsyError()
    with pytest.raises(FalsyError), ctx.scope():
        ctx.enter_context(contextlib.ExitStack()).push(lambda *exc: learned.append(exc[1]))
        raise error
    assert learned[0] is error


def test_errors_that_claim_to_be_equal_are_told_apart(ctx: UserCtx) -> None:
    class Equal(Exception):
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = None  # type: ignore[assignment]

    first, second = Equal("first"), Equal("second")
    with pytest.raises(Equal) as caught, ctx.scope():
        ctx.callback(raising, second)
        ctx.callback(raising, first)
    assert caught.value is second
    assert second.__context__ is first


def test_a_part_that_passes_on_the_exception_it_was_told_of_has_not_failed(ctx: UserCtx) -> None:
    class PassesOn:
        def __enter__(self) -> None: ...
        def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
            if error is not None:
                raise error

    with ctx.scope() as scope:
        ctx.enter_context(PassesOn())
        scope.fail(Boom("handled"))


class RaisesAtTheEnd:
    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __enter__(self) -> None: ...
    def __exit__(self, *exc: object) -> None:
        raise self.error


@pytest.mark.parametrize("told", [True, False], ids=["told-of-an-error", "without-an-error"])
def test_no_error_of_a_context_manager_is_lost_either(ctx: UserCtx, *, told: bool) -> None:
    handled, first, second = (Boom(text) for text in ("handled", "first", "second"))
    scope = Scope(ctx)
    scope.enter_context(RaisesAtTheEnd(second))
    scope.enter_context(RaisesAtTheEnd(first))
    if told:
        scope.fail(handled)
    with pytest.raises(Boom) as caught:
        scope.close()
    assert caught.value is second
    assert errors.context_chain(second) == [second, first, *([handled] if told else [])]


def test_whoever_follows_the_errors_that_a_teardown_raised_twice_comes_to_an_end(ctx: UserCtx) -> None:
    first, second = Boom("first"), Boom("second")
    scope = Scope(ctx)
    for error in (first, second, first):
        scope.callback(raising, error)
    with pytest.raises(Boom, match="first"):
        scope.close()
    error_before: BaseException | None = first
    for _ in range(5):
        error_before = error_before and error_before.__context__
    assert error_before is None


def test_an_endless_chain_of_errors_is_told_once() -> None:
    first, second = Boom("first"), Boom("second")
    first.__context__, second.__context__ = second, first
    assert errors.context_chain(first) == [first, second]


def test_the_exception_that_ends_a_scope_comes_before_one_that_was_handled(ctx: UserCtx) -> None:
    learned: list[Any] = []
    handled, ending = Boom("handled"), Boom("ending")
    with pytest.raises(Boom, match="ending"), ctx.scope() as scope:
        ctx.enter_context(contextlib.ExitStack()).push(lambda *exc: learned.append(exc[1]))
        scope.fail(handled)
        raise ending
    assert learned == [ending]


def test_errors_that_are_only_equal_are_each_in_the_chain() -> None:
    class EqualToAll(Boom):
        __hash__ = Boom.__hash__

        def __eq__(self, other: object) -> bool:
            return True

    first, second = EqualToAll("first"), EqualToAll("second")
    second.__context__ = first
    assert [error.args for error in errors.context_chain(second)] == [("second",), ("first",)]


def test_errors_with_a_common_history_make_one_chain(ctx: UserCtx) -> None:
    oldest, body, first, second = (Boom(text) for text in ("oldest", "body", "first", "second"))
    body.__context__ = oldest
    second.__context__ = body
    with pytest.raises(Boom, match="second"), ctx.scope():
        ctx.callback(raising, second)
        ctx.callback(raising, first)
        raise body
    assert errors.context_chain(second) == [second, first, body, oldest]
    assert oldest.__context__ is None


def test_a_part_that_can_not_even_begin_is_tried_again_later_and_not_for_ever(
    ctx: UserCtx, monkeypatch: pytest.MonkeyPatch
) -> None:
    log: list[str] = []
    run = teardown.Part.run

    def run_without_memory(part: Any, details: Any) -> bool:
        raise MemoryError

    scope = Scope(ctx)
    scope.callback(log.append, "first")
    scope.callback(log.append, "second")
    monkeypatch.setattr(teardown.Part, "run", run_without_memory)
    with pytest.raises(MemoryError):
        scope.close()
    assert not scope.ended
    monkeypatch.setattr(teardown.Part, "run", run)
    scope.close()
    assert log == ["second", "first"]
    assert scope.ended
