"""Scope.attach and detach, take_off and put_back: how an integration makes a scope current for a coroutine."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.contexts import UserCtx, seen

from tlctx import RequestEndedError, Scope
from tlctx.lowlevel import Observer, add_observer, put_back, remove_observer, take_off


def named(ctx: UserCtx, user: str) -> Scope:
    scope = Scope(ctx, label=f"request of {user}")
    scope.namespace["user"] = user
    return scope


def test_an_attached_scope_is_current_until_it_is_detached_and_stays_open(ctx: UserCtx) -> None:
    async def main() -> None:
        scope = named(ctx, "ann")
        scope.attach()
        assert (ctx.user, Scope.current(ctx)) == ("ann", scope)
        scope.detach()
        assert (seen(ctx), scope.ended) == ("nothing", False)
        scope.attach()
        assert ctx.user == "ann"
        scope.close()
        with pytest.raises(RequestEndedError, match="request of ann"):
            _ = ctx.user
        scope.detach()
        assert seen(ctx) == "nothing"

    asyncio.run(main())


def test_a_scope_that_has_ended_is_not_attached(ctx: UserCtx) -> None:
    async def main() -> None:
        scope = named(ctx, "ann")
        scope.close()
        with pytest.raises(RequestEndedError, match=r"attaching a scope .* after .*request of ann.* has ended"):
            scope.attach()
        assert seen(ctx) == "nothing"

    asyncio.run(main())


def test_a_scope_is_not_attached_where_one_is_bound_to_the_thread(ctx: UserCtx) -> None:
    async def main(scope: Scope) -> None:
        with pytest.raises(RuntimeError, match="can't be opened in a coroutine"):
            scope.attach()

    with ctx.scope(user="bound"):
        asyncio.run(main(scope := named(ctx, "ann")))
        assert ctx.user == "bound"
    scope.close()


def test_observers_are_told_once_that_an_attached_scope_begins(ctx: UserCtx) -> None:
    begun: list[Any] = []

    class Watching(Observer):
        def begin(self, scope: Scope) -> None:
            begun.append((scope, scope.thread != 0))

    async def main() -> Scope:
        scope = named(ctx, "ann")
        for _ in range(2):
            scope.attach()
            scope.detach()
        scope.close()
        return scope

    add_observer(observer := Watching())
    try:
        scope = asyncio.run(main())
    finally:
        remove_observer(observer)
    assert begun == [(scope, True)]


def test_what_is_taken_off_is_put_back_where_it_was_and_only_there(ctx: UserCtx) -> None:
    other = UserCtx()

    async def main() -> None:
        scopes = [named(other, "of the other"), named(ctx, "outer"), named(ctx, "inner")]
        for scope in scopes:
            scope.attach()
        attached = take_off(scopes[2])
        assert (seen(ctx), seen(other)) == ("outer", "of the other")
        put_back(attached)
        assert (seen(ctx), seen(other)) == ("inner", "of the other")
        scopes[2].detach()
        put_back(take_off(scopes[2]))
        assert seen(ctx) == "outer"
        for scope in scopes:
            scope.detach()
            scope.close()
        assert (seen(ctx), seen(other)) == ("nothing", "nothing")

    asyncio.run(main())
