"""The ASGI app under test, inside the middleware: answers, exceptions and ends."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import anyio
import anyio.to_thread
from servers import asgi_routes_others, state
from servers.asgi_routing import ROUTES, Request, route
from servers.routing import Boom
from servers.state import PATIENCE, ctx, event, still_its_own, use

assert asgi_routes_others  # which adds its own to ROUTES
ERRORS: dict[str, type[BaseException]] = {
    "stop_iteration": StopIteration, "stop_async_iteration": StopAsyncIteration, "generator_exit": GeneratorExit,
    "cancelled": asyncio.CancelledError, "system_exit": SystemExit, "keyboard_interrupt": KeyboardInterrupt,
}  # fmt: skip


async def serve(scope: Any, receive: Any, send: Any) -> None:
    """The app inside the middleware."""
    if scope["type"] == "lifespan":
        await live(receive, send)
        return
    await ROUTES[scope["path"].strip("/")](Request(scope, receive, send))


async def live(receive: Any, send: Any) -> None:
    """Lifespan; what it sees and leaves is nobody's."""
    while True:
        message = await receive()
        if state.visible():
            event("foreign", "lifespan", *state.visible())
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def probe(request: Request) -> None:
    """What is left of the requests before it."""
    await request.answer(json.dumps(state.report(request.scope["faults.outside"])))


ROUTES["probe"] = probe


# Answers


@route
async def echo(request: Request) -> None:
    still_its_own(request.tag)
    await request.answer(request.tag)


@route
async def stream(request: Request) -> None:
    await request.start()
    await request.pieces(8)


@route
async def sized_stream(request: Request) -> None:
    await request.start(content_length=str(8 * len(b"piece ")))
    await request.pieces(8)


@route
async def take_turns(request: Request) -> None:
    """Many of these run at once: in their own task, in tasks of theirs, and in threads."""
    await request.start()
    for _ in range(5):
        await anyio.to_thread.run_sync(still_its_own, request.tag)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(look, request.tag)
        still_its_own(request.tag)
        await request.part(b"turn ")
    await request.part(b"", more=False)


async def look(tag: str) -> None:
    await anyio.sleep(0)
    still_its_own(tag)


# Exceptions


@route
async def raise_before_start(request: Request) -> None:
    raise Boom


@route
async def raise_after_start(request: Request) -> None:
    await request.start()
    raise Boom


@route
async def raise_in_the_middle(request: Request) -> None:
    await request.start()
    await request.part()
    raise Boom


@route
async def raise_after_the_answer(request: Request) -> None:
    await request.answer("done")
    raise Boom


@route
async def raise_named(request: Request) -> None:
    """The error that the tag begins with."""
    raise ERRORS[request.tag.partition(".")[0]]


@route
async def raise_named_in_the_middle(request: Request) -> None:
    await request.start()
    await request.part()
    await raise_named(request)


@route
async def cancelled_by_a_timeout(request: Request) -> None:
    with anyio.move_on_after(0.01):
        try:
            await anyio.sleep(PATIENCE)
        finally:
            still_its_own(request.tag)
    await request.answer(request.tag)


@route
async def a_task_fails(request: Request) -> None:
    async def fail() -> None:
        raise Boom

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(fail)
        await anyio.sleep(PATIENCE)


# Answers that break ASGI, and unusual ones


@route
async def no_answer(request: Request) -> None: ...


@route
async def only_start(request: Request) -> None:
    await request.start()


@route
async def body_before_start(request: Request) -> None:
    await request.part(b"too early")


@route
async def start_twice(request: Request) -> None:
    await request.start()
    await request.start()


@route
async def unknown_message(request: Request) -> None:
    await request.send({"type": "http.response.unheard"})


@route
async def body_is_no_bytes(request: Request) -> None:
    await request.start()
    await request.send({"type": "http.response.body", "body": 42})


@route
async def content_length_too_large(request: Request) -> None:
    await request.start(content_length="100")
    await request.pieces(3)


@route
async def content_length_too_small(request: Request) -> None:
    await request.start(content_length="4")
    await request.pieces(3)


@route
async def no_content(request: Request) -> None:
    await request.answer("", 204)


@route
async def not_modified(request: Request) -> None:
    await request.start(304)
    await request.part(b"", more=False)


# Ends


def fail() -> None:
    raise Boom


@route
async def teardown_raises(request: Request) -> None:
    ctx.callback(fail)
    await request.answer("done")


@route
async def closed_early(request: Request) -> None:
    state.close_early()
    await request.start()
    state.has_ended(request.tag)
    for _ in range(3):
        await request.part(b"late ")
    await request.part(b"", more=False)


@route
async def closed_early_and_the_teardown_raises(request: Request) -> None:
    ctx.callback(fail)
    state.close_early()
    await request.answer("saved")


def add_app_in_view(app: Any) -> None:
    """Add the route that makes a request to the app itself, which has a scope of its own."""

    async def app_in_view(request: Request) -> None:
        use(request.tag)
        scope = {**request.scope, "path": "/echo", "query_string": f"tag={request.tag}.inner".encode()}
        await app(scope, request.receive, nowhere)
        still_its_own(request.tag)
        await request.answer(request.tag)

    ROUTES["app_in_view"] = app_in_view


async def nowhere(message: Any) -> None: ...
