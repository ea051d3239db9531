"""The list of a teardown's parts itself: what is in it when something else happens than usual."""

from __future__ import annotations

import contextlib
import gc
import weakref
from collections.abc import Iterator
from typing import Any, NoReturn

import pytest
from support.helpers import Boom, in_thread

from tlctx import RequestContext, Scope, counters
from tlctx._core import teardown
from tlctx._core.teardown import Part, enter
from tlctx.lowlevel import open_scopes


class Ctx(RequestContext):
    user: str = "stranger"


ctx = Ctx()


class Suppressing:
    def __enter__(self) -> None: ...

    def __exit__(self, *details: object) -> bool:
        return True


@pytest.mark.parametrize("suppresses", [True, False])
def test_a_context_manager_suppresses_the_error_unless_it_may_not(suppresses: bool) -> None:
    told: list[object] = []

    class Below(Suppressing):
        def __exit__(self, *details: object) -> bool:
            told.append(details[0])
            return True

    parts: list[Part] = []
    enter(Below(), parts)
    if suppresses:
        enter(Suppressing(), parts)
    else:
        enter(Suppressing(), parts, may_suppress=False)
    teardown.run(parts, Boom())
    assert told == [None if suppresses else Boom]


def test_a_part_that_is_gone_when_it_has_run_disturbs_nothing() -> None:
    parts: list[Part] = []
    parts.append(Part(parts.clear))
    teardown.run(parts, None)
    assert parts == []


def test_a_close_within_the_teardown_does_nothing() -> None:
    seen: list[Any] = []
    scope = Scope(ctx)
    scope.callback(lambda: seen.append("last"))

    def close() -> None:
        scope.close()
        seen.append(scope.ended)

    scope.callback(close)
    scope.close()
    assert seen == [False, "last"]
    assert scope.ended


def test_a_close_within_the_teardown_does_nothing_although_the_first_close_was_struck(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Struck(BaseException):
        pass

    def strike(scope: Scope) -> NoReturn:
        raise Struck

    seen: list[Any] = []
    scope = Scope(ctx)
    scope.callback(lambda: seen.append("last"))

    def close() -> None:
        scope.close()
        seen.append(scope.ended)

    scope.callback(close)
    with monkeypatch.context() as patch, pytest.raises(Struck):
        patch.setattr(Scope, "_run_teardown", strike)
        scope.close()
    assert seen == []
    assert not scope.ended
    scope.close()
    assert seen == [False, "last"]
    assert scope.ended


def test_a_close_after_the_end_does_not_keep_the_error() -> None:
    scope = Scope(ctx)
    scope.close()
    error = Boom()
    known = weakref.ref(error)
    scope.close(error)
    del error
    gc.collect()
    assert known() is None


def test_a_scope_in_between_that_has_ended_is_not_reported() -> None:
    before = counters()
    with ctx.scope():
        below, above = ctx.scope(), ctx.scope()
        below.__enter__()
        above.__enter__()
        in_thread(below.close)
        assert str(above) in map(str, open_scopes())
    assert above.ended
    assert counters().unleft_scopes == before.unleft_scopes + 1


def test_a_teardown_runs_with_its_own_values_although_a_generator_has_left_another_scope_open() -> None:
    seen: list[str] = []
    scope = Scope(ctx)

    def steps() -> Iterator[None]:
        with ctx.scope(user="bob"):
            yield

    def use() -> None:
        ctx.user = "ann"
        ctx.callback(lambda: seen.append(ctx.user))
        next(suspended)

    suspended = steps()
    scope.run(use)
    scope.close()
    assert seen == ["ann"]
    suspended.close()  # type: ignore[attr-defined]
    assert Scope.current(ctx) is None


def test_a_scope_that_was_never_made_is_not_open() -> None:
    half_made = Scope.__new__(Scope, ctx)  # type: ignore[call-arg]
    assert half_made not in open_scopes()


def test_what_a_part_raises_is_not_kept_by_a_cycle() -> None:
    raised: list[Any] = []

    def fail() -> None:
        error = Boom()
        raised.append(weakref.ref(error))
        try:
            raise error
        finally:
            del error

    gc.disable()
    try:
        with contextlib.suppress(Boom):
            teardown.run([Part(fail)], None)
        assert raised[0]() is None
    finally:
        gc.enable()
