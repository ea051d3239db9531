"""Taking snapshots and wrapping functions: of which contexts, where it is refused, and what is new in each copy."""

from __future__ import annotations

import contextvars
import copy
import functools
import gc
import pickle
from typing import Any

import pytest
from support.contexts import Ctx, SnapshotCtx
from support.helpers import in_thread

import tlctx
from tlctx import OutsideRequestError, RequestEndedError, Scope
from tlctx.lowlevel import propagate
from tlctx.threads import snapshot, wrap


@pytest.fixture
def ctx() -> Any:
    return SnapshotCtx()


def test_taking_a_snapshot_leaves_the_name_of_the_request_as_it_was(ctx: Any) -> None:
    scope = Scope(ctx, label="the first")
    with scope:
        before = str(scope), scope.label
        snapshot(ctx)
        assert (str(scope), scope.label) == before == (f"request #{scope.serial} (the first)", "the first")


def test_where_no_request_runs_there_is_nothing_to_take(ctx: Any) -> None:
    with pytest.raises(OutsideRequestError, match="taking a snapshot on thread"):
        snapshot(ctx)
    with ctx.scope(), pytest.raises(OutsideRequestError):
        snapshot(ctx, tlctx.ctx)


def test_code_that_its_request_has_left_behind_can_take_none(ctx: Any) -> None:
    def take() -> None:
        with pytest.raises(RequestEndedError, match=r"taking a snapshot .* after scope #\d+ has ended"):
            snapshot(ctx)

    with ctx.scope() as scope, propagate(scope):
        context = contextvars.copy_context()
    context.run(take)


def test_without_contexts_it_is_one_of_the_default_one() -> None:
    with tlctx.ctx.scope(user="ann"):
        function = wrap(lambda: tlctx.ctx.user)
        taken = snapshot()
    assert in_thread(function) == taken.run(lambda: tlctx.ctx.user) == "ann"


@pytest.mark.parametrize("context", [Ctx, None, "ctx"])
def test_what_is_no_context_is_refused(context: Any) -> None:
    with pytest.raises(TypeError, match="must be a RequestContext"):
        snapshot(context)


def test_one_call_takes_several_contexts(ctx: Any) -> None:
    other, left_out = SnapshotCtx(), SnapshotCtx()
    with ctx.scope(user="ann"), other.scope(user="bob"), left_out.scope(user="eve"):
        taken = snapshot(ctx, other)

    def job() -> tuple[str, str, Any]:
        return ctx.user, other.user, left_out.get("user", None)

    assert in_thread(lambda: taken.run(job)) == ("ann", "bob", None)
    with taken.scope() as scope:
        assert scope.context is ctx
        assert job() == ("ann", "bob", None)
    assert Scope.current(ctx) is Scope.current(other) is None


def test_a_wrapped_function_keeps_its_name_and_signature(ctx: Any) -> None:
    def report(pages: int) -> int:
        """Make a report."""
        return pages

    with ctx.scope():
        wrapped = wrap(report, ctx)
    assert wrapped(3) == 3
    assert wrapped.__name__ == "report"
    assert wrapped.__doc__ == "Make a report."
    assert "report" in repr(wrapped)


async def coroutine() -> None: ...


async def async_generator() -> Any:
    yield


def generator() -> Any:
    yield


@pytest.mark.parametrize("function", [coroutine, async_generator, generator, functools.partial(coroutine)])
def test_a_function_whose_code_runs_after_the_call_is_refused(ctx: Any, function: Any) -> None:
    with ctx.scope(), pytest.raises(TypeError, match=r"would run when the scopes are over"):
        wrap(function, ctx)


def test_what_is_no_function_is_refused(ctx: Any) -> None:
    with ctx.scope(), pytest.raises(TypeError, match=r"wrap\(\) takes a function, not int"):
        wrap(1, ctx)  # type: ignore[arg-type]


def test_copies_and_pickles_are_refused_and_no_repr_shows_a_value(ctx: Any) -> None:
    with ctx.scope(user="s3cret"):
        taken = snapshot(ctx)
        one = tlctx.lowlevel.copy_scope(ctx)
        wrapped = taken.wrap(len)
    for thing in (taken, one):
        with pytest.raises(TypeError, match="pickled"):
            pickle.dumps(thing)
        with pytest.raises(TypeError, match="pickled"):
            copy.copy(thing)
    assert "s3cret" not in repr(taken) + repr(one) + repr(wrapped)


def test_a_request_that_assigns_between_two_copies_has_different_ones(ctx: Any) -> None:
    def change(name: str, value: object) -> None:
        setattr(ctx, name, value)

    with ctx.scope(user="ann", note=1):
        copies = [tlctx.lowlevel.copy_scope(ctx) for _ in range(3)]  # which may be the same one
        for name, value in (("note", 1.0), ("note", True), ("more", None), ("user", "bob")):
            change(name, value)
            copies.append(tlctx.lowlevel.copy_scope(ctx))
        del ctx.more
        copies.append(tlctx.lowlevel.copy_scope(ctx))
        ctx.note = 2
    assert [taken.run(lambda: (ctx.user, repr(ctx.note), "more" in ctx)) for taken in copies] == [
        *[("ann", "1", False)] * 3, ("ann", "1.0", False), ("ann", "True", False), ("ann", "True", True),
        ("bob", "True", True), ("bob", "True", False),
    ]  # fmt: skip


def test_copies_and_scopes_may_go_in_any_order(ctx: Any) -> None:
    kept = []
    for number in range(50):
        with ctx.scope(note=number):
            first = tlctx.lowlevel.copy_scope(ctx)
            second = tlctx.lowlevel.copy_scope(ctx)
            del first
            third = tlctx.lowlevel.copy_scope(ctx)
            kept.append(second if number % 2 else third)
            del second, third
            assert tlctx.lowlevel.copy_scope(ctx).run(lambda: ctx.note) == number
    gc.collect()
    assert [taken.run(lambda: ctx.note) for taken in kept] == list(range(50))
