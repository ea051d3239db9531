"""A scope that is attached to a context variable: what coroutines read and write, and who is refused."""

from __future__ import annotations

import asyncio
import contextvars
import functools
from collections.abc import Callable
from typing import Any

import pytest
from support.contexts import UserCtx, seen
from support.helpers import in_thread

from tlctx import OutsideRequestError, RequestContext, RequestEndedError, Scope, per_request
from tlctx._core.propagation import attach, detach, namespace_of, propagate


class Turn:
    """A turn of an event loop that nobody knows."""

    def __await__(self) -> Any:
        yield


def in_coroutine(ctx: UserCtx, work: Callable[[], Any]) -> Any:
    """What `work()` returns in a coroutine that has a scope, whose user is ann."""

    async def main() -> Any:
        with ctx.scope(user="ann"):
            return work()

    return asyncio.run(main())


def test_a_coroutine_uses_its_scope_in_every_way_that_a_request_does(ctx: UserCtx) -> None:
    anything: Any = ctx

    def work() -> list[Any]:
        found = [ctx.user, ctx.get("user"), "user" in ctx, vars(ctx) is namespace_of(ctx), list(ctx)]
        anything.more = 1
        anything.more += 1
        found += [anything.more, anything.setdefault("other", 3), anything.pop("other")]
        del anything.more
        del ctx.user
        found += [anything.get("more"), list(ctx), ctx.get("user", "gone")]
        return found

    assert in_coroutine(ctx, work) == ["ann", "ann", True, True, ["user"], 2, 3, 3, None, [], "gone"]


def test_a_missing_name_is_told_in_a_coroutine_as_in_a_request(ctx: UserCtx) -> None:
    def work() -> None:
        anything: Any = ctx
        with pytest.raises(AttributeError, match="did you mean 'user'"):
            anything.usr  # noqa: B018
        with pytest.raises(AttributeError, match="has no 'usr' in scope"):
            del anything.usr
        with pytest.raises(AttributeError, match="is a method and can't be assigned"):
            anything.get = 1

    in_coroutine(ctx, work)


def test_the_class_decides_about_a_name_in_a_coroutine_too() -> None:
    class Mine(RequestContext, strict=True):
        user: str = "nobody"

        @property
        def shout(self) -> str:
            return self.user.upper()

        @per_request
        def made(self) -> list[str]:
            return [self.user]

    ctx: Any = Mine()

    def work() -> None:
        assert (ctx.shout, ctx.made, ctx.made is ctx.made) == ("ANN", ["ann"], True)
        with pytest.raises(AttributeError, match="is strict and declares no 'other'"):
            ctx.other = 1
        ctx.user = "bob"
        assert ctx.shout == "BOB"

    in_coroutine(ctx, work)


def test_each_use_after_the_scopes_end_says_so(ctx: UserCtx) -> None:
    scope = Scope(ctx)

    async def main() -> None:
        attach(scope)
        assert ctx.user == "nobody"
        scope.close()
        uses: list[Callable[[], Any]] = [
            lambda: ctx.user, lambda: setattr(ctx, "user", 1), lambda: delattr(ctx, "user"), lambda: ctx.get("user"),
            lambda: "user" in ctx,
        ]  # fmt: skip
        for use in uses:
            with pytest.raises(RequestEndedError, match=f"scope #{scope.serial} has ended"):
                use()

    asyncio.run(main())


def test_where_nothing_is_attached_each_use_is_refused(ctx: UserCtx) -> None:
    async def main() -> None:
        uses: list[Callable[[], Any]] = [
            lambda: ctx.user, lambda: setattr(ctx, "user", 1), lambda: delattr(ctx, "user"), lambda: ctx.get("user"),
        ]  # fmt: skip
        for use in uses:
            with pytest.raises(OutsideRequestError, match="where no request is running"):
                use()

    asyncio.run(main())


def test_code_of_an_unknown_event_loop_sees_a_scope_only_below_the_coroutine_that_attached_it(ctx: UserCtx) -> None:
    scope = Scope(ctx)

    async def callee() -> str:
        return seen(ctx)

    async def owner() -> None:
        attach(scope)
        ctx.user = "ann"
        await Turn()
        assert (ctx.user, ctx.get("user"), await callee()) == ("ann", "ann", "ann")
        del ctx.user
        await Turn()

    async def other() -> None:
        with pytest.raises(OutsideRequestError):
            ctx.user = "of the other"
        with pytest.raises(OutsideRequestError):
            del ctx.user
        assert (seen(ctx), ctx.get("user", "nothing"), Scope.current(ctx)) == ("nothing", "nothing", None)

    owning = owner()
    for coroutine in (owning, other(), owning):
        try:
            coroutine.send(None)
        except StopIteration:
            assert coroutine is not owning
        assert seen(ctx) == "nothing"
    owning.close()
    detach(scope)
    scope.close()


def test_a_coroutine_reads_its_scope_after_other_threads_have_used_the_context(ctx: UserCtx) -> None:
    def elsewhere() -> str:
        with ctx.scope(user="elsewhere"):
            return ctx.user

    def work() -> list[str]:
        found = []
        for _ in range(2):
            found += [ctx.user, in_thread(elsewhere), ctx.user, in_thread(lambda: seen(ctx))]
        return found

    assert in_coroutine(ctx, work) == ["ann", "elsewhere", "ann", "nothing"] * 2


def test_a_task_sees_what_was_attached_where_it_began_whatever_is_attached_later(ctx: UserCtx) -> None:
    first, second = Scope(ctx), Scope(ctx)

    async def reader(go: asyncio.Event) -> list[str]:
        found = [ctx.user]
        await go.wait()
        return [*found, ctx.user]

    async def main() -> list[str]:
        go = asyncio.Event()
        attach(first)
        ctx.user = "first"
        task = asyncio.create_task(reader(go))
        await asyncio.sleep(0)
        attach(second)
        ctx.user = "second"
        detach(first)
        go.set()
        return [*await task, ctx.user]

    assert asyncio.run(main()) == ["first", "first", "second"]
    first.close()
    second.close()


def test_a_context_that_says_itself_what_a_thread_without_a_dict_reads_is_asked(ctx: UserCtx) -> None:
    class Own(UserCtx):
        def _local__make_dict(self) -> Any:
            return {"user": "of its own"}

    own, scope = Own(), Scope(ctx)
    attached = Scope(own)
    with propagate(scope), propagate(attached):
        assert (own.user, ctx.user) == ("of its own", "nobody")
    scope.close()
    attached.close()


def test_scopes_are_seen_in_a_copy_of_the_context_that_another_thread_runs(ctx: UserCtx) -> None:
    scope = Scope(ctx)
    with propagate(scope):
        copied = contextvars.copy_context()

    def work() -> list[str]:
        copied.run(setattr, ctx, "user", "ann")
        return [copied.run(functools.partial(seen, ctx)), seen(ctx)]

    assert in_thread(work) == ["ann", "nothing"]
    assert scope.namespace["user"] == "ann"
    scope.close()
