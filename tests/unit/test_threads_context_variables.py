"""Snapshots, context variables and event loops: what travels by choice, and what tasks see."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import threading
from typing import Any

import pytest
from support.contexts import SnapshotCtx
from support.helpers import PATIENCE, in_thread
from support.threads import run_at_once

from tlctx.lowlevel import propagate
from tlctx.threads import snapshot, wrap

AT_ONCE = 8


@pytest.fixture
def ctx() -> Any:
    return SnapshotCtx()


def test_the_context_variables_travel_by_choice(ctx: Any) -> None:
    span: contextvars.ContextVar[str] = contextvars.ContextVar("span", default="none")
    with ctx.scope(user="ann"):
        span.set("outer")
        plain, with_variables = snapshot(ctx), snapshot(ctx, contextvars=True)
        span.set("later")
    none = contextvars.Context()  # which a thread may inherit
    assert none.run(in_thread, lambda: plain.run(span.get)) == "none"
    assert in_thread(lambda: with_variables.run(lambda: (span.get(), ctx.user))) == ("outer", "ann")

    def job(number: int) -> None:
        span.set(str(number))
        inside.wait(PATIENCE)
        assert span.get() == str(number)

    inside = threading.Barrier(AT_ONCE)
    run_at_once([functools.partial(with_variables.run, job, number) for number in range(AT_ONCE)])
    assert with_variables.run(span.get) == "outer"


def test_a_live_scope_does_not_come_along_with_the_context_variables(ctx: Any) -> None:
    other = SnapshotCtx()
    with ctx.scope(user="ann") as scope, other.scope(user="eve") as live, propagate(live), propagate(scope):
        taken = snapshot(ctx, contextvars=True)
        assert in_thread(lambda: taken.run(lambda: (ctx.user, other.get("user", None)))) == ("ann", None)
        assert contextvars.copy_context().run(in_thread, lambda: other.get("user", None)) is None


def test_a_block_cannot_have_the_context_variables_and_says_so(ctx: Any) -> None:
    with ctx.scope():
        taken = snapshot(ctx, contextvars=True)
    with pytest.raises(RuntimeError, match=r"use run\(\) or wrap\(\)"):
        taken.scope()


def test_a_task_may_open_one_while_others_do_the_same(ctx: Any) -> None:
    with ctx.scope(user="ann"):
        taken = snapshot(ctx)

    async def task(number: int) -> tuple[str, bool]:
        with taken.scope():
            ctx.number = number
            await asyncio.sleep(0)
            return ctx.user, ctx.number == number

    async def all_of_them() -> Any:
        return await asyncio.gather(*(task(number) for number in range(AT_ONCE)))

    assert asyncio.run(all_of_them()) == [("ann", True)] * AT_ONCE


def test_a_snapshot_of_a_live_scope_that_a_task_sees_is_one_of_that_request(ctx: Any) -> None:
    async def task() -> str:
        return await asyncio.get_running_loop().run_in_executor(None, wrap(lambda: ctx.user, ctx))

    async def main() -> str:
        with ctx.scope(user="ann"):
            return await asyncio.ensure_future(task())

    assert asyncio.run(main()) == "ann"
