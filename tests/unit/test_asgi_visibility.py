"""What sees the scope of an ASGI request, and what does not: tasks, threads, the server, and other requests."""

from __future__ import annotations

import asyncio
import contextvars
from typing import Any

import pytest
from support.asgi import Exchange, answer, ctx, greet, http_scope, seen, serve, websocket_scope, within
from support.helpers import in_thread

from tlctx import OutsideRequestError, RequestEndedError
from tlctx.lowlevel import open_scopes

pytestmark = pytest.mark.usefixtures("nothing_is_left")


def test_what_runs_outside_of_the_request_is_refused() -> None:
    async def main() -> None:
        await Exchange(within(greet))
        with pytest.raises(OutsideRequestError, match="no request is running"):
            _ = ctx.user

    asyncio.run(main())


def test_a_task_that_outlives_the_request_is_told_which_one_ended() -> None:
    async def main() -> None:
        go, tasks = asyncio.Event(), []

        async def late() -> None:
            await go.wait()
            _ = ctx.user

        async def app(scope: Any, receive: Any, send: Any) -> None:
            ctx.user = "ann"
            tasks.append(asyncio.create_task(late()))
            await answer(send)

        await Exchange(within(app), http_scope("/notes"))
        go.set()
        with pytest.raises(RequestEndedError, match=r"request #\d+ \(GET /notes\) has ended"):
            await tasks[0]

    asyncio.run(main())


def test_a_thread_that_the_request_hands_its_context_sees_it_and_another_job_of_the_thread_does_not() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        ctx.user = "ann"

        def endpoint() -> str:
            ctx.from_thread = "written there"
            return seen()

        assert await asyncio.to_thread(endpoint) == "ann"
        assert ctx.from_thread == "written there"
        assert await asyncio.get_running_loop().run_in_executor(None, seen) == "nothing"

    serve(within(app))


def test_code_of_the_server_does_not_see_the_scope_where_it_may_start_the_next_request() -> None:
    """uvicorn makes the task of a pipelined request inside of `send`, and resumes reading inside of `receive`."""
    seen_by_server = []

    async def next_request() -> None:
        seen_by_server.append(seen())

    async def main() -> None:
        class Server(Exchange):
            async def receive(self) -> Any:
                await asyncio.create_task(next_request())
                return await super().receive()

            async def send(self, message: Any) -> None:
                if not message.get("more_body") and message["type"] != "http.response.start":
                    await asyncio.create_task(next_request())
                await super().send(message)

        async def app(scope: Any, receive: Any, send: Any) -> None:
            ctx.user = "ann"
            await receive()
            assert ctx.user == "ann"
            await answer(send, b"a", b"b")
            assert ctx.user == "ann"  # as a background task does

        await Server(within(app))

    asyncio.run(main())
    assert seen_by_server == ["nothing", "nothing"]


def test_a_message_sent_for_another_request_leaves_the_scope_as_it_is() -> None:
    """As a chat does, which tells all others what one of them says."""
    others: list[Any] = []

    async def main() -> None:
        told, done = asyncio.Event(), asyncio.Event()

        async def listener(scope: Any, receive: Any, send: Any) -> None:
            ctx.user = "bob"
            others.append(send)
            told.set()
            await done.wait()
            assert ctx.user == "bob"

        async def teller(scope: Any, receive: Any, send: Any) -> None:
            ctx.user = "ann"
            await others[0]({"type": "websocket.send", "text": "hello"})
            assert ctx.user == "ann"

        async def run(exchange: Exchange) -> None:
            await exchange

        listening = asyncio.create_task(run(Exchange(within(listener), websocket_scope())))
        await told.wait()
        await Exchange(within(teller), websocket_scope())
        await others[0]({"type": "websocket.send", "text": "from outside"})
        assert seen() == "nothing"
        done.set()
        await listening

    asyncio.run(main())


def test_what_is_attached_in_the_context_of_the_server_already_stays_there_and_is_not_seen() -> None:
    async def main() -> None:
        with ctx.scope(user="outer"):
            context = contextvars.copy_context()
            found: list[str] = []

            async def app(scope: Any, receive: Any, send: Any) -> None:
                found.append(seen())
                ctx.user = "ann"
                await answer(send)

            async def run() -> None:
                await Exchange(within(app))
                found.append(seen())

            await asyncio.create_task(run(), context=context)
            assert found == ["nothing", "outer"]
            assert ctx.user == "outer"

    asyncio.run(main())


def test_a_request_is_refused_where_its_event_loop_runs_inside_a_scope_of_a_thread() -> None:
    with ctx.scope(user="outer"):
        with pytest.raises(RuntimeError, match="can't be opened in a coroutine while its event loop runs inside"):
            serve(within(greet))
        assert ctx.user == "outer"
    assert open_scopes() == []


def test_scopes_of_coroutines_of_one_request_are_closed_by_hand_and_the_requests_own_stays() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        ctx.user = "ann"
        with ctx.scope(user="inner"):
            await asyncio.sleep(0)
            await answer(send, seen().encode())
            assert ctx.user == "inner"
        assert ctx.user == "ann"

    assert serve(within(app)).body == b"inner"


def test_threads_serve_requests_of_event_loops_of_their_own() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert seen() == "nothing"
        ctx.user = scope["path"]
        await asyncio.sleep(0)
        await answer(send, in_thread(seen).encode(), ctx.user.encode())

    assert in_thread(lambda: serve(within(app), http_scope("/1")).body) == b"nothing/1"
    assert serve(within(app), http_scope("/2")).body == b"nothing/2"
