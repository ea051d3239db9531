"""Scopes in the coroutines of any event loop: tasks that take turns on a thread each see their own."""

from __future__ import annotations

import asyncio
import contextvars
import sys
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from support.contexts import UserCtx, seen
from support.helpers import in_thread, missing

from tlctx import RequestContext, Scope
from tlctx._core.attached import attached_scopes


async def two_turns(ctx: UserCtx, user: str, found: list[str], pause: Callable[[], Any]) -> None:
    with ctx.scope(user=user):
        await pause()
        found.append(ctx.user)
        await pause()
        assert Scope.current(ctx) is not None
        found.append(ctx.user)


def on_asyncio(ctx: UserCtx, found: list[str]) -> None:
    async def main() -> None:
        await asyncio.gather(*(two_turns(ctx, user, found, lambda: asyncio.sleep(0)) for user in ("ann", "bob")))

    asyncio.run(main())


def on_uvloop(ctx: UserCtx, found: list[str]) -> None:
    uvloop = part("uvloop")

    async def main() -> None:
        await asyncio.gather(*(two_turns(ctx, user, found, lambda: asyncio.sleep(0)) for user in ("ann", "bob")))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


def on_trio(ctx: UserCtx, found: list[str]) -> None:
    trio = part("trio")

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for user in ("ann", "bob"):
                nursery.start_soon(two_turns, ctx, user, found, trio.lowlevel.checkpoint)

    trio.run(main)


def on_curio(ctx: UserCtx, found: list[str]) -> None:
    curio = part("curio")

    async def main() -> None:
        async with curio.TaskGroup() as group:
            for user in ("ann", "bob"):
                await group.spawn(two_turns, ctx, user, found, lambda: curio.sleep(0))
        for task in group.tasks:
            if task.exception is not None:
                raise task.exception

    curio.run(main)


def on_nested_asyncio(ctx: UserCtx, found: list[str]) -> None:
    class Loop(asyncio.SelectorEventLoop):
        """The class that is patched."""

    async def outer() -> None:
        tasks = [two_turns(ctx, user, found, lambda: asyncio.sleep(0)) for user in ("ann", "bob")]
        loop.run_until_complete(asyncio.gather(*tasks))

    nest_asyncio = part("nest_asyncio")
    modules = (asyncio, asyncio.events, asyncio.tasks, asyncio.futures)
    before = [dict(vars(module)) for module in modules]
    loop = Loop()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # it uses what Python 3.16 removes
            nest_asyncio.apply(loop)
        loop.run_until_complete(outer())
    finally:
        loop.close()
        for module, names in zip(modules, before, strict=True):  # or all later tests would run on the patched ones
            for added in set(vars(module)) - set(names):
                delattr(module, added)
            vars(module).update(names)


class Turns:
    """An event loop that nobody knows: it has no module that could be asked."""

    def __await__(self) -> Any:
        yield


def on_a_loop_of_our_own(ctx: UserCtx, found: list[str]) -> None:
    async def pause() -> None:
        await Turns()

    tasks = [(contextvars.copy_context(), two_turns(ctx, user, found, pause)) for user in ("ann", "bob")]
    running = list(tasks)
    try:
        while running:
            for context, coroutine in list(running):
                try:
                    context.run(coroutine.send, None)
                except StopIteration:
                    running.remove((context, coroutine))
    finally:
        for _, coroutine in tasks:
            coroutine.close()


def on_a_loop_without_contexts(ctx: UserCtx, found: list[str]) -> None:
    async def pause() -> None:
        await Turns()

    running = [two_turns(ctx, user, found, pause) for user in ("ann", "bob")]
    tasks = tuple(running)
    try:
        while running:
            for coroutine in list(running):
                try:
                    coroutine.send(None)
                except StopIteration:
                    running.remove(coroutine)
    finally:
        for coroutine in tasks:
            coroutine.close()


def test_a_task_sees_no_scope_of_another_where_the_event_loop_gives_them_one_context() -> None:
    ctx = UserCtx()
    found: list[str] = []

    async def reader() -> None:
        found.append(seen(ctx))

    async def opener() -> None:
        with ctx.scope(user="ann"):
            await Turns()
            await reader()

    task, other = opener(), reader()
    task.send(None)
    for coroutine in (other, task):
        with pytest.raises(StopIteration):
            coroutine.send(None)
    assert found == ["nothing", "ann"]


def part(name: str) -> Any:
    if name == "curio" and sys.version_info >= (3, 12):
        pytest.skip("curio can't be imported on this Python")
    try:
        return __import__(name)
    except ImportError:
        missing(f"the package {name}")


LOOPS = [on_asyncio, on_uvloop, on_trio, on_curio, on_nested_asyncio, on_a_loop_of_our_own, on_a_loop_without_contexts]


@pytest.mark.parametrize("run", LOOPS, ids=lambda run: run.__name__)
def test_tasks_that_take_turns_each_see_the_scope_they_opened(run: Callable[[UserCtx, list[str]], None]) -> None:
    ctx = UserCtx()
    found: list[str] = []
    run(ctx, found)
    assert sorted(found) == ["ann", "ann", "bob", "bob"]
    assert seen(ctx) == "nothing"


@pytest.mark.parametrize("run", LOOPS, ids=lambda run: run.__name__)
def test_a_coroutine_can_not_open_a_scope_inside_one_of_its_thread(
    run: Callable[[UserCtx, list[str]], None],
) -> None:
    ctx = UserCtx()
    found: list[str] = []
    with ctx.scope(user="of the thread"), pytest.raises((RuntimeError, ExceptionGroup)) as raised:
        run(ctx, found)
    errors = getattr(raised.value, "exceptions", [raised.value])
    assert all("can't be opened in a coroutine while its event loop runs inside" in str(error) for error in errors)
    assert found == []


def test_plain_code_that_a_task_of_trio_calls_opens_scopes_as_anywhere() -> None:
    trio, ctx = part("trio"), UserCtx()

    def request() -> list[str]:
        found = []
        scope = Scope(ctx)
        displaced = scope.bind()
        with ctx.scope(user="inner"):
            found.append(ctx.user)
        found.append(ctx.user)
        scope.unbind(displaced)
        scope.close()
        return found

    async def main() -> list[str]:
        return request()

    assert trio.run(main) == ["inner", "nobody"]


def test_nothing_is_left_of_an_async_generator_that_the_loop_closes_in_another_task() -> None:
    ctx = UserCtx()

    async def rows() -> Any:
        with ctx.scope(user="rows"):
            yield 1
            yield 2

    async def view() -> None:
        async for _ in rows():
            break

    def context_of_a_view() -> int:
        with ctx.scope():
            return len(attached_scopes.get())

    async def main() -> int:
        for _ in range(20):
            await view()
        for _ in range(3):  # the loop first makes tasks of the generators' ends, then runs them
            await asyncio.sleep(0)
        return context_of_a_view()

    assert asyncio.run(main()) <= 2


def test_a_scope_that_was_left_on_another_thread_does_not_keep_coroutines_from_opening_theirs() -> None:
    ctx = UserCtx()
    scope = ctx.scope(user="of the thread")
    scope.__enter__()
    in_thread(lambda: scope.__exit__(None, None, None))

    async def main() -> str:
        with ctx.scope(user="ann"):
            return ctx.user

    assert asyncio.run(main()) == "ann"
    assert isinstance(ctx, RequestContext)
    assert seen(ctx) == "nothing"
