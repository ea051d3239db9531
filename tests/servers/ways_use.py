"""What a request of the program of `ways.py` does: it hands its context on, on all ways at once."""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from functools import partial
from typing import Any

from asgiref.sync import sync_to_async
from servers.ways_context import ctx, plain, side
from servers.ways_looks import (
    look,
    look_apart,
    look_in_turns,
    look_outside,
    look_shared,
    look_step,
    own_work,
    write_step,
)
from servers.ways_tally import MISSING, tally
from servers.ways_tasks import send_tasks

CHUNKS = 3
KEPT = 5
"""How many functions with snapshots wait for a later request."""
kept: deque[Callable[[], None]] = deque()


def use_threads(place: str, user: str) -> None:
    """Jobs of the pool that submit jobs, threads, wrapped functions, tasks, and a snapshot of another request."""
    work = own_work()
    jobs = [side.pool.submit(run_job, user, work) for _ in range(2)]
    mapped = side.pool.map(partial(look_apart, "mapped job", user), [work] * 2)
    thread = side.thread(look_apart, "thread", user, work)
    thread.start()
    wrapped = plain.submit(side.wrap(look_apart), "wrapped function", user, work)
    outside = plain.submit(look_outside, "a plain pool")
    send_tasks(user)
    run_kept(side.wrap(partial(look_apart, "snapshot in a later request", user, work)))
    for inner in [job.result() for job in jobs]:
        inner.result()
    thread.join()
    for ended in (*mapped, wrapped.result(), outside.result()):
        assert ended is None
    look_shared(place, user, work)


def run_job(user: str, work: Any) -> Future[None]:
    """A job that hands on what it has: returns a job of its own, as waiting for one might fill the pool."""
    look_apart("job", user, work)
    write_step("job", user)
    own = own_work()
    inner: Future[None] = side.pool.submit(look_apart, "job of a job", user, own)
    thread = side.thread(look_apart, "thread of a job", user, own)
    thread.start()
    plain.submit(side.wrap(look_apart), "wrapped function of a job", user, own).result()
    with side.scope():
        look_apart("block in a job", user, own)
    thread.join()
    look("job", user)
    look_step("job", user)
    return inner


def run_kept(function: Callable[[], None]) -> None:
    """Keep a function for a later request, and run one of an earlier request inside this one."""
    kept.append(function)
    if len(kept) > KEPT:
        kept.popleft()()


async def use_loop(user: str) -> None:
    """Tasks, threads of the loop and executors, each of which shares the scope or has a copy."""
    loop = asyncio.get_running_loop()
    work = own_work()
    write_step("async view", user)
    in_context = contextvars.copy_context().run
    await asyncio.gather(
        asyncio.create_task(look_in_turns("asyncio task", user, work)),
        look_in_turns("gathered coroutine", user, work),
        asyncio.to_thread(look_shared, "to_thread", user, work),
        asyncio.to_thread(use_threads, "to_thread, with jobs", user),
        loop.run_in_executor(plain, in_context, look_shared, "run_in_executor", user, work),
        loop.run_in_executor(plain, side.wrap(look_apart), "wrapped in run_in_executor", user, work),
        loop.run_in_executor(plain, look_outside, "run_in_executor without a context"),
        asyncio.wrap_future(side.pool.submit(look_apart, "job of an async view", user, work)),
        sync_to_async(look_shared)("sync_to_async", user, work),
        look_in_block(user, work),
    )
    look_shared("async view", user, work)
    look_step("async view", user)


async def look_in_block(user: str, work: Any) -> None:
    with side.scope():
        look_apart("block in a coroutine", user, work)
        await asyncio.sleep(0)
        look_apart("block in a coroutine", user, work)


def stream(user: str, work: Any) -> Iterator[bytes]:
    """A body that looks for itself at each chunk, and leaves a job behind at the last one."""
    for _ in range(CHUNKS):
        look_shared("streamed body", user, work)
        yield f"{getattr(ctx, 'user', 'nobody')} ".encode()
    leave_job("job that outlives its request", user, work)


async def async_stream(user: str, work: Any) -> AsyncIterator[bytes]:
    for _ in range(CHUNKS):
        await look_in_turns("async streamed body", user, work)
        yield f"{getattr(ctx, 'user', 'nobody')} ".encode()
    leave_job("job that outlives its request", user, work)


def leave_job(place: str, user: str, work: Any) -> None:
    """A job that nobody waits for."""
    tally.add("jobs left")
    side.pool.submit(look_apart, place, user, work).add_done_callback(note_end)


def note_end(job: Future[None]) -> None:
    if error := job.exception():
        tally.note("job that outlives its request", MISSING, f"a success: {error!r}")
    tally.add("jobs ended")
