"""How much stack a teardown asks for before it begins: a part that has begun and can't go on would be lost."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from support.helpers import Boom, in_thread

from tlctx._core import teardown
from tlctx._core.making import once
from tlctx._core.teardown import Part, check_stack, enter, unfinished
from tlctx._core.unleft import close_unfinished

LIMIT = 400


@contextmanager
def limit_of(calls: int) -> Iterator[None]:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(calls)
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


def deep(calls: int, function: Callable[[], object]) -> object:
    return deep(calls - 1, function) if calls else function()


def deepest(function: Callable[[], object]) -> int:
    """The number of calls below which it still has the stack that it needs."""

    def search() -> int:
        passed = 0
        with limit_of(LIMIT):
            for calls in range(LIMIT):
                try:
                    deep(calls, function)
                except RecursionError:
                    break
                passed = calls
        return passed

    return int(in_thread(search))


def needed(function: Callable[[], object]) -> int:
    """How many calls it needs, beyond those of a function that makes none."""
    return deepest(lambda: None) - deepest(function)


def test_a_part_needs_some_calls_to_begin() -> None:
    assert 9 <= needed(check_stack) <= 14


@pytest.mark.parametrize("spare", [8, 4])
def test_after_an_overflow_a_share_of_the_whole_stack_has_to_be_free(spare: int) -> None:
    assert LIMIT // spare <= needed(lambda: check_stack(spare=spare)) <= LIMIT // spare + 4


def run(error: BaseException | None) -> list[int]:
    """Run a teardown of one part that needs no stack to speak of, and return what that did."""
    done: list[int] = []
    teardown.run([Part(done.clear)], error)
    return done


def test_a_teardown_checks_that_there_is_stack_before_its_first_part_begins() -> None:
    assert 9 <= needed(lambda: run(None)) <= 16


def test_a_teardown_after_an_overflow_wants_an_eighth_of_the_stack() -> None:
    assert LIMIT // 8 <= needed(lambda: run(RecursionError())) <= LIMIT // 8 + 6


def test_a_part_is_not_lost_where_there_is_too_little_stack() -> None:
    called: list[int] = []
    parts = [Part(lambda: called.append(1))]

    def run_deep() -> None:
        with limit_of(LIMIT):
            calls = LIMIT
            while parts:
                calls -= 1
                try:
                    deep(calls, lambda: teardown.run(parts, None))
                except RecursionError:
                    assert len(parts) - len(called) == 1

    in_thread(run_deep)
    assert called == [1]


def test_a_context_manager_is_not_entered_where_there_is_too_little_stack_to_leave_it() -> None:
    class Silent:
        def __init__(self) -> None:
            self.entered = 0

        __enter__ = __exit__ = lambda self, *details: None

    parts: list[Part] = []

    def enter_one() -> Any:
        parts.clear()
        return enter(Silent(), parts)

    assert 9 <= needed(enter_one) <= 17


class OneMethod:
    def __enter__(self) -> None: ...


class OtherMethod:
    def __exit__(self, *details: object) -> None: ...


@pytest.mark.parametrize("kind", [OneMethod, OtherMethod])
def test_what_has_one_of_the_two_methods_is_no_context_manager(kind: Any) -> None:
    parts: list[Part] = []
    with pytest.raises(TypeError, match="does not support the context manager protocol"):
        enter(kind(), parts)
    assert parts == []


def test_a_context_manager_that_fails_to_enter_leaves_no_part() -> None:
    class Failing:
        def __enter__(self) -> None:
            raise Boom

        def __exit__(self, *details: object) -> None: ...

    parts: list[Part] = []
    with pytest.raises(Boom):
        enter(Failing(), parts)
    assert parts == []


def test_a_context_manager_is_one_part_above_what_it_has_entered_itself() -> None:
    class Outer:
        def __enter__(self) -> None:
            parts.append(inner)

        def __exit__(self, *details: object) -> None: ...

    parts: list[Part] = []
    inner = Part()
    enter(Outer(), parts)
    assert len(parts) == 2
    assert parts[0] is inner


def test_a_context_manager_that_another_thread_runs_before_it_is_entered_is_a_part_all_the_same() -> None:
    class Manager:
        def __enter__(self) -> None:
            teardown.run(parts, None)
            assert parts == []

        def __exit__(self, *details: object) -> None:
            left.append(self)

    parts: list[Part] = []
    left: list[Any] = []
    enter(Manager(), parts)
    assert len(parts) == 1
    teardown.run(parts, None)
    assert len(left) == 1
    assert parts == []


def test_an_unfinished_scope_is_closed_only_where_a_quarter_of_the_stack_is_free() -> None:
    class Unfinished:
        ended = False
        serial = 0

    def close() -> None:
        closed.append(Unfinished())

    def close_or_fail() -> None:
        closed.clear()
        close_unfinished(Unfinished())  # type: ignore[arg-type]
        if not closed:
            raise RecursionError

    closed: list[Unfinished] = []
    unfinished[0] = Unfinished(), close
    try:
        assert LIMIT // 4 <= needed(close_or_fail) <= LIMIT // 4 + 12
    finally:
        del unfinished[0]


def test_a_per_request_value_is_made_only_where_there_is_stack_to_note_its_end() -> None:
    assert 9 <= needed(lambda: once(0, "value", {}, int)) <= 20
