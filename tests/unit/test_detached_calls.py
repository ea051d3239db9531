"""DetachedCall: a server's async function runs with the scope of a request detached, however it is awaited."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest
from support.contexts import UserCtx, seen
from support.helpers import Boom

from tlctx import Scope
from tlctx._core.attached import attached_scopes
from tlctx.lowlevel import DetachedCall

HEAD = ("type", "head")
PIECES = frozenset(["body"])


class Server:
    """What a server sends with; it notes what code of its own sees."""

    def __init__(self, ctx: UserCtx) -> None:
        self.ctx = ctx
        self.notes: list[Any] = []
        self.go_on = asyncio.Event()

    async def send(self, message: Any = "nothing") -> str:
        self.notes.append((message, seen(self.ctx)))
        return "sent"

    async def wait(self) -> str:
        self.notes.append(seen(self.ctx))
        try:
            await self.go_on.wait()
        finally:
            self.notes.append(seen(self.ctx))
        return "waited"

    async def begin(self, scope: Scope, function: Any, message: Any) -> str:
        self.notes.append((scope, function, message))
        return "begun"


def in_request(ctx: UserCtx, use: Any) -> Server:
    """Run `use(scope, server)` on an event loop, with an attached scope whose user is ann, and is ann afterwards."""
    server = Server(ctx)

    async def request() -> None:
        scope = Scope(ctx)
        scope.attach()
        ctx.user = "ann"
        await use(scope, server)
        assert ctx.user == "ann"
        scope.close()

    asyncio.run(request())
    return server


def test_the_function_does_not_see_the_scope_and_neither_do_tasks_that_it_starts(ctx: UserCtx) -> None:
    async def use(scope: Scope, server: Server) -> None:
        async def start() -> asyncio.Task[str]:
            return asyncio.create_task(server.wait())

        task = await DetachedCall(scope, start)()
        assert ctx.user == "ann"
        await asyncio.sleep(0)
        server.go_on.set()
        assert await task == "waited"
        assert await DetachedCall(scope, server.send)() == "sent"
        assert await DetachedCall(scope, server.send)("message") == "sent"

    server = in_request(ctx, use)
    assert server.notes == ["nothing", "nothing", ("nothing", "nothing"), ("message", "nothing")]


def test_what_is_not_the_last_message_of_an_answer_is_sent_as_it_is(ctx: UserCtx) -> None:
    head, more, last = {"type": "head"}, {"type": "body", "more": 1}, {"type": "body", "more": 0}

    async def use(scope: Scope, server: Server) -> None:
        send = DetachedCall(scope, server.send, HEAD, "more", server.begin, PIECES)
        for message in (head, more, last, {}):
            assert await send(message) == "sent"
        assert await send() == "sent"
        assert scope.chunks == 2

    server = in_request(ctx, use)
    assert server.notes == [
        (head, "ann"), (more, "ann"), (last, "nothing"), ({}, "nothing"), ("nothing", "nothing"),
    ]  # fmt: skip


def test_messages_may_be_any_mapping(ctx: UserCtx) -> None:
    class Message:
        def __init__(self, **items: Any) -> None:
            self.get = items.get

    async def use(scope: Scope, server: Server) -> None:
        send = DetachedCall(scope, server.send, HEAD, "more", server.begin, PIECES)
        for message in (Message(type="head"), Message(more=True), Message(more=False)):
            await send(message)
        with pytest.raises(AttributeError):
            await send("no mapping")

    assert [each for _, each in in_request(ctx, use).notes] == ["ann", "ann", "nothing"]


def test_where_the_scope_closes_early_the_head_is_for_another_function(ctx: UserCtx) -> None:
    head, more = {"type": "head"}, {"type": "body", "more": True}

    async def use(scope: Scope, server: Server) -> None:
        send = DetachedCall(scope, server.send, HEAD, "more", server.begin, PIECES)
        scope.closes_early = True
        assert await send(head) == "begun"
        assert await send(more) == "sent"
        assert server.notes == [(scope, server.send, head), (more, "ann")]

    in_request(ctx, use)


def test_whatever_can_be_awaited_may_be_returned(ctx: UserCtx) -> None:
    class Awaitable:
        def __await__(self) -> Any:
            yield from asyncio.sleep(0).__await__()
            return seen(ctx)

    async def use(scope: Scope, server: Server) -> None:
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        loop.call_soon(future.set_result, "of the future")
        assert await DetachedCall(scope, lambda: future)() == "of the future"
        assert await DetachedCall(scope, Awaitable)() == "nothing"
        with pytest.raises(TypeError, match=r"int.* can't be (used in 'await' expression|awaited)"):
            await DetachedCall(scope, lambda: 5)()  # type: ignore[arg-type,return-value]

    in_request(ctx, use)


def test_an_exception_goes_on_and_the_scope_is_back(ctx: UserCtx) -> None:
    async def use(scope: Scope, server: Server) -> None:
        async def fail() -> None:
            await asyncio.sleep(0)
            raise Boom

        def fail_at_once() -> Any:
            raise Boom

        for function in (fail, fail_at_once):
            with pytest.raises(Boom):
                await DetachedCall(scope, function)()
            assert ctx.user == "ann"

    in_request(ctx, use)


def test_one_that_is_cancelled_while_it_waits_ends_there(ctx: UserCtx) -> None:
    async def use(scope: Scope, server: Server) -> None:
        async def wait() -> None:
            try:
                await DetachedCall(scope, server.wait)()
            finally:
                server.notes.append(seen(ctx))

        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert in_request(ctx, use).notes == ["nothing", "nothing", "ann"]


def test_an_event_loop_may_run_it_as_a_task(ctx: UserCtx) -> None:
    async def use(scope: Scope, server: Server) -> None:
        server.go_on.set()
        assert await asyncio.create_task(DetachedCall(scope, server.wait)()) == "waited"  # type: ignore[arg-type]
        assert await asyncio.wait_for(DetachedCall(scope, server.send)(), None) == "sent"

    assert in_request(ctx, use).notes == ["nothing", "nothing", ("nothing", "nothing")]


class Steps:
    """An awaitable that does not end by itself."""

    def __await__(self) -> Any:
        while True:
            try:
                yield "a step"
            except KeyError:
                yield "a KeyError"


def test_it_can_be_driven_by_hand(ctx: UserCtx) -> None:
    scope = Scope(ctx)
    scope.attach()
    before = attached_scopes.get()
    coroutine: Any = DetachedCall(scope, Steps)()
    assert coroutine.send(None) == "a step"
    assert attached_scopes.get() == ()
    assert coroutine.throw(KeyError("a reason")) == "a KeyError"
    with pytest.raises(ValueError, match="another"):
        coroutine.throw(ValueError("another"))
    assert attached_scopes.get() == before
    with pytest.raises(RuntimeError, match="already awaited"):
        coroutine.send(None)
    scope.detach()
    scope.close()


@pytest.mark.parametrize(
    "thrown", [(Boom,), (Boom, "a reason"), (Boom("a reason"),)], ids=["class", "pair", "exception"]
)
@pytest.mark.filterwarnings("ignore:the .type, exc, tb. signature:DeprecationWarning")
def test_an_exception_that_comes_before_the_first_step_ends_it(ctx: UserCtx, thrown: Any) -> None:
    scope = Scope(ctx)
    coroutine: Any = DetachedCall(scope, Steps)()
    with pytest.raises(Boom):
        coroutine.throw(*thrown)
    with pytest.raises(RuntimeError, match="already awaited"):
        coroutine.send(None)


def test_one_that_is_closed_half_way_closes_what_it_awaits_and_puts_the_scope_back(ctx: UserCtx) -> None:
    closed = []

    async def wait() -> None:
        try:
            await Steps()
        finally:
            closed.append(seen(ctx))

    scope = Scope(ctx)
    scope.attach()
    coroutine: Any = DetachedCall(scope, wait)()
    coroutine.send(None)
    coroutine.close()
    coroutine.close()
    assert closed == ["nothing"]
    assert attached_scopes.get()[0][0] is scope
    scope.detach()
    scope.close()


def test_one_that_nobody_awaits_is_complained_about_unless_it_is_closed(ctx: UserCtx) -> None:
    call: Any = DetachedCall(Scope(ctx), Steps)

    def forget() -> None:
        call()
        gc.collect()

    with pytest.warns(RuntimeWarning, match="coroutine .* was never awaited"):
        forget()
    call().close()
    gc.collect()


def test_wrong_arguments_are_told(ctx: UserCtx) -> None:
    scope, make = Scope(ctx), Steps
    with pytest.raises(TypeError, match="needs a Scope, not int"):
        DetachedCall(5, make)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="a pair of key and value"):
        DetachedCall(scope, make, 5, "more", make, PIECES)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        DetachedCall(scope)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        DetachedCall(scope, function=make)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="one positional argument, or none"):
        DetachedCall(scope, make)(1, 2)
    with pytest.raises(TypeError):
        DetachedCall(scope, make)(message=1)  # type: ignore[call-arg]
    wrong: Any = DetachedCall(scope, make)()
    with pytest.raises(TypeError, match="exception"):
        wrong.throw(5)
    wrong.close()
