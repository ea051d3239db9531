"""Scope: coroutines, tasks and threads of `asyncio.to_thread` see the scope they were started in."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import sys
import threading
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from support.contexts import UserCtx, seen
from support.helpers import Boom, in_foreign_thread, in_thread, raise_boom

from tlctx import RequestEndedError, Scope
from tlctx._core.context import AnyContext
from tlctx.lowlevel import propagate


async def turns(ctx: UserCtx, user: str) -> list[str]:
    found = []
    with ctx.scope(user=user):
        for _ in range(3):
            await asyncio.sleep(0)
            found.append(ctx.user)
        found.append(await asyncio.to_thread(lambda: ctx.user))
        with ctx.scope(user=f"inner {user}"):
            await asyncio.sleep(0)
            found.append(ctx.user)
    found.append(seen(ctx))
    return found


def test_tasks_that_take_turns_each_see_the_scope_they_opened(ctx: UserCtx) -> None:
    async def main() -> Any:
        return await asyncio.gather(*(turns(ctx, user) for user in ("ann", "bob")))

    for user, found in zip(("ann", "bob"), asyncio.run(main()), strict=True):
        assert found == [user, user, user, user, f"inner {user}", "nothing"]


def test_a_task_that_outlives_its_scope_is_told_so(ctx: UserCtx) -> None:
    async def late(go: asyncio.Event) -> str:
        await go.wait()
        return ctx.user

    async def main() -> int:
        go = asyncio.Event()
        with ctx.scope() as scope:
            task = asyncio.create_task(late(go))
            await asyncio.sleep(0)
        go.set()
        with pytest.raises(RequestEndedError, match=f"scope #{scope.serial} has ended"):
            await task
        return scope.serial

    assert asyncio.run(main())


def test_a_scope_in_a_coroutine_inside_a_threads_own_scope_is_refused(ctx: UserCtx) -> None:
    async def main() -> None:
        with ctx.scope(user="inner"):
            pass

    with ctx.scope(user="outer"):
        with pytest.raises(RuntimeError, match="can't be opened in a coroutine while its event loop runs inside"):
            asyncio.run(main())
        assert ctx.user == "outer"


def test_scopes_of_coroutines_left_out_of_order_each_take_away_their_own(ctx: UserCtx) -> None:
    async def work(user: str) -> AsyncGenerator[str, None]:
        with ctx.scope(user=user):
            while True:
                yield ctx.user

    async def main() -> None:
        with ctx.scope(user="outer"):
            first, second = work("first"), work("second")
            assert [await anext(first), await anext(second)] == ["first", "second"]
            await first.aclose()
            assert await anext(second) == "second"
            await second.aclose()
            assert ctx.user == "outer"
        assert seen(ctx) == "nothing"

    asyncio.run(main())


def test_plain_code_that_a_coroutine_calls_nests_scopes_as_anywhere(
    ctx: UserCtx, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("trio", "curio"):
        monkeypatch.delitem(sys.modules, name, raising=False)

    def request() -> list[str]:
        scope = Scope(ctx)
        displaced = scope.bind()
        found = []
        with ctx.scope(user="inner"):
            found.append(ctx.user)
        found.append(ctx.user)
        scope.callback(in_teardown, found)
        scope.unbind(displaced)
        scope.close()
        return found

    def in_teardown(found: list[str]) -> None:
        with ctx.scope(user="teardown"):
            found.append(ctx.user)

    async def main() -> list[str]:
        return request()

    assert asyncio.run(main()) == ["inner", "nobody", "teardown"]


def test_a_bound_scope_comes_before_a_propagated_one(ctx: UserCtx) -> None:
    with ctx.scope(user="propagated") as scope, propagate(scope):
        context = contextvars.copy_context()

    def serve() -> str:
        with ctx.scope(user="served here"):
            return context.run(seen, ctx)

    assert in_thread(serve) == "served here"


def test_a_thread_that_inherits_context_variables_sees_nothing_of_whoever_started_it(
    ctx: UserCtx, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Flags:
        thread_inherit_context = True

    def start_inheriting(thread: threading.Thread) -> None:  # as CPython 3.14 does with the flag
        in_foreign_thread(functools.partial(contextvars.copy_context().run, thread.run))

    monkeypatch.setattr(threading.Thread, "start", start_inheriting)
    monkeypatch.setattr(sys, "flags", Flags)
    found: list[str] = []
    with ctx.scope(user="of another request") as scope, propagate(scope):
        threading.Thread(target=lambda: found.append(seen(ctx))).start()
        handed_over = contextvars.copy_context()
        assert in_foreign_thread(lambda: handed_over.run(seen, ctx)) == "of another request"
    assert found == ["nothing"]
    with ctx.scope(user="of another request") as scope, propagate(scope):
        assert threading.Thread.start.__wrapped__ is start_inheriting  # type: ignore[attr-defined]


def test_a_thread_that_could_not_be_started_takes_nothing_from_whoever_tried(
    ctx: UserCtx, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Flags:
        thread_inherit_context = True

    monkeypatch.setattr(threading.Thread, "start", raise_boom)
    monkeypatch.setattr(sys, "flags", Flags)
    scope = Scope(ctx)
    with propagate(scope):
        with pytest.raises(Boom):
            threading.Thread().start()
        assert seen(ctx) == "nobody"
    scope.close()


def test_threads_start_as_ever_where_they_inherit_nothing(ctx: UserCtx, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(thread: threading.Thread) -> None: ...

    monkeypatch.setattr(threading.Thread, "start", start)
    monkeypatch.setattr(sys, "flags", object())  # as before CPython 3.14
    scope = Scope(ctx)
    with propagate(scope):
        assert threading.Thread.start is start
    scope.close()


def test_a_propagated_scope_is_not_seen_in_a_context_that_is_only_equal_to_its_own() -> None:
    class EqualToAll(UserCtx):
        __hash__ = object.__hash__

        def __eq__(self, other: object) -> bool:
            return True

    scope = Scope(EqualToAll())
    with propagate(scope):
        assert seen(scope.context) == "nobody"
        assert seen(EqualToAll()) == "nothing"
    scope.close()


def test_a_propagated_scope_is_seen_in_its_own_context_only(ctx: UserCtx) -> None:
    other = UserCtx()
    scope = Scope(ctx)
    scope.namespace["user"] = "bob"
    with propagate(scope):
        propagated = contextvars.copy_context()
    assert in_thread(lambda: propagated.run(seen, ctx)) == "bob"
    assert in_thread(lambda: propagated.run(seen, other)) == "nothing"
    assert in_thread(lambda: propagated.run(Scope.current, other)) is None
    scope.close()


def test_whatever_is_asked_a_bound_scope_comes_before_a_propagated_one(ctx: UserCtx) -> None:
    propagated = Scope(ctx)
    with propagate(propagated):
        context = contextvars.copy_context()

    def serve() -> list[Any]:
        with ctx.scope(user="served here", more=1) as scope:
            looks = (lambda: Scope.current(ctx) is scope, lambda: list(ctx), lambda: ctx.get("user"))
            return [context.run(look) for look in looks]

    assert in_thread(serve) == [True, ["user", "more"], "served here"]
    propagated.close()


def test_a_scope_is_propagated_for_the_time_of_the_block_also_when_that_raises(ctx: UserCtx) -> None:
    scope = Scope(ctx)
    with pytest.raises(Boom), propagate(scope):
        assert seen(ctx) == "nobody"
        raise Boom
    assert seen(ctx) == "nothing"
    scope.close()


def test_a_scope_that_ended_beneath_the_event_loop_hides_no_coroutines(ctx: UserCtx) -> None:
    async def main() -> str:
        with ctx.scope(user="ann"):
            return ctx.user

    scope = Scope(ctx)
    displaced = scope.bind()
    scope.close()
    assert asyncio.run(main()) == "ann"
    scope.unbind(displaced)


def test_a_coroutine_that_is_refused_leaves_the_nearest_open_scope_current() -> None:
    async def main() -> None:
        with empty.scope():
            pass

    empty = AnyContext()
    with empty.scope() as outer:
        inner = empty.scope()
        inner.__enter__()
        inner.close()
        with pytest.raises(RuntimeError, match="can't be opened in a coroutine"):
            asyncio.run(main())
        assert Scope.current(empty) is outer
