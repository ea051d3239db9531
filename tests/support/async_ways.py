"""The ways on which Python, asyncio, asgiref and anyio hand a coroutine's context variables to other code."""

from __future__ import annotations

import asyncio
import contextvars
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
from asgiref.sync import async_to_sync, sync_to_async

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from support.flask_app import WorkCtx


async def called(function: Callable[[], Any]) -> Any:
    return function()


async def in_a_task(function: Callable[[], Any]) -> Any:
    return await asyncio.create_task(called(function))


async def gathered(function: Callable[[], Any]) -> Any:
    found = await asyncio.gather(called(function), asyncio.sleep(0))
    return found[0]


async def in_a_callback(function: Callable[[], Any]) -> Any:
    loop = asyncio.get_running_loop()
    found = loop.create_future()
    loop.call_soon(lambda: found.set_result(function()))
    return await found


async def by_to_thread(function: Callable[[], Any]) -> Any:
    return await asyncio.to_thread(function)


async def by_run_in_executor(function: Callable[[], Any]) -> Any:
    return await asyncio.get_running_loop().run_in_executor(None, contextvars.copy_context().run, function)


async def in_a_pool_of_its_own(function: Callable[[], Any]) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return await asyncio.get_running_loop().run_in_executor(pool, contextvars.copy_context().run, function)


async def by_sync_to_async(function: Callable[[], Any]) -> Any:
    return await sync_to_async(function)()


async def by_sync_to_async_on_any_thread(function: Callable[[], Any]) -> Any:
    return await sync_to_async(function, thread_sensitive=False)()


async def back_by_async_to_sync(function: Callable[[], Any]) -> Any:
    return await sync_to_async(async_to_sync(called), thread_sensitive=False)(function)


async def by_anyio(function: Callable[[], Any]) -> Any:
    return await anyio.to_thread.run_sync(function)


async def in_a_task_group_of_anyio(function: Callable[[], Any]) -> Any:
    found = []

    async def child() -> None:
        found.append(function())

    async with anyio.create_task_group() as group:
        group.start_soon(child)
    return found[0]


WAYS: list[Callable[[Callable[[], Any]], Awaitable[Any]]] = [
    called, in_a_task, gathered, in_a_callback, by_to_thread, by_run_in_executor, in_a_pool_of_its_own,
    by_sync_to_async, by_sync_to_async_on_any_thread, back_by_async_to_sync, by_anyio, in_a_task_group_of_anyio,
]  # fmt: skip
"""Each calls a function on its way and returns what that returns."""


async def share(ctx: WorkCtx, way: Callable[[Callable[[], Any]], Awaitable[Any]]) -> list[Any]:
    """What code on this way reads of `ctx`, whether it gets the same `per_request` value, and what it wrote."""

    def on_the_way() -> list[Any]:
        found = [ctx.user, ctx.word, ctx.work is work]
        ctx.word = "written on the way"
        return found

    ctx.word, work = "written before", ctx.work
    return [*await way(on_the_way), ctx.word]


SHARED = ["ann", "written before", True, "written on the way"]
"""What `share` returns where the request of ann is shared."""
