"""Routes for faults from outside: clients that leave, WebSockets, and threads, processes and jobs that go on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import anyio
from servers import state
from servers.asgi_routing import Request, route
from servers.routing import MEGABYTE, Boom
from servers.state import event, still_its_own

# Clients


@route
async def wait_before_start(request: Request) -> None:
    await request.wait_for_flag()
    still_its_own(request.tag)
    await request.start()
    await request.pieces(64, MEGABYTE)


@route
async def wait_for_disconnect(request: Request) -> None:
    """As frameworks stream: the body goes out in a task that is cancelled when the client has left."""
    await request.start()

    async def endless() -> None:
        try:
            while True:
                await request.part()
                await anyio.sleep(0.005)
        finally:
            still_its_own(request.tag)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(endless)
        while (await request.receive())["type"] != "http.disconnect":
            still_its_own(request.tag)
        tasks.cancel_scope.cancel()


@route
async def large(request: Request) -> None:
    """256 MB."""
    await request.start()
    await request.pieces(256, MEGABYTE)


@route
async def some_megabytes(request: Request) -> None:
    await request.start(content_length=str(4 * 2**20))
    await request.pieces(4, MEGABYTE)


@route
async def wait_in_the_middle(request: Request) -> None:
    await request.start()
    await request.part(b"first ")
    await request.wait_for_flag()
    await request.pieces(3)


@route
async def wait_after_the_answer(request: Request) -> None:
    """A background task."""
    await request.answer(request.tag)
    await request.wait_for_flag()
    still_its_own(request.tag)


@route
async def upload(request: Request) -> None:
    """Read the whole body, and go on for a while after the answer."""
    size, more = 0, True
    while more:
        message = await request.receive()
        still_its_own(request.tag)
        size, more = size + len(message.get("body", b"")), message.get("more_body", False)
        await anyio.sleep(0.001)
    await request.answer(str(size))
    await request.wait_for_flag()


# WebSockets


@route
async def websocket_echo(request: Request) -> None:
    await request.receive()
    await request.send({"type": "websocket.accept"})
    while (message := await request.receive())["type"] == "websocket.receive":
        still_its_own(request.tag)
        await request.send({"type": "websocket.send", "text": f"{message['text']} {request.tag}"})
    still_its_own(request.tag)


@route
async def websocket_refused(request: Request) -> None:
    await request.receive()
    await request.send({"type": "websocket.close", "code": 1008})


@route
async def websocket_raises(request: Request) -> None:
    await request.receive()
    await request.send({"type": "websocket.accept"})
    raise Boom


# Threads, processes and jobs that go on


def see_nothing(tag: str) -> None:
    """What a job reports that runs when its request is over."""
    if state.visible():
        event("foreign", tag, *state.visible())
    event("job", tag)


async def late(request: Request) -> None:
    await request.wait_for_flag()
    see_nothing(request.tag)


@route
async def task_outlives(request: Request) -> None:
    """A task that nobody waits for, on asyncio; trio has none."""
    state.kept[request.tag] = asyncio.ensure_future(late(request))
    await request.answer(request.tag)


def wait_and_look(tag: str) -> None:
    state.wait_for_flag(tag)
    see_nothing(tag)


POOL = ThreadPoolExecutor(1)


@route
async def pool_job_outlives(request: Request) -> None:
    POOL.submit(wait_and_look, request.tag)
    await request.answer(request.tag)


@route
async def timer_outlives(request: Request) -> None:
    threading.Timer(0.01, wait_and_look, [request.tag]).start()
    await request.answer(request.tag)


@route
async def fork(request: Request) -> None:
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            signal.set_wakeup_fd(-1)
            still_its_own(request.tag)
            event("child", request.tag, "ends")
        os._exit(0)
    os.waitpid(child, 0)
    still_its_own(request.tag)
    await request.answer(request.tag)
