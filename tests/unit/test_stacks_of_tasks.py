"""Where code of a request stands in tasks."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

from support import asgi
from support.asgi import serve, within
from support.helpers import PATIENCE
from support.requests import ctx
from support.stacks import Stuck, functions, hanging, is_nowhere, lines

from tlctx import Scope
from tlctx.lowlevel import bound, is_running, propagate


@contextlib.contextmanager
def serving(view: Callable[[Stuck], Any]) -> Iterator[Scope]:
    """A block during which an event loop of another thread serves a request, whose scope this is."""
    scopes: list[Any] = []

    def run(stuck: Stuck) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            scopes.append(Scope.current(ctx))
            await view(stuck)

        serve(within(app))

    with hanging(run):
        yield scopes[0]


async def until_set(stuck: Stuck) -> None:
    """Wait as a coroutine does, and tell so once the event loop has nothing else to do."""
    loop = asyncio.get_running_loop()
    done = asyncio.Event()

    def wait() -> None:
        assert stuck.go.wait(PATIENCE)
        loop.call_soon_threadsafe(done.set)

    threading.Thread(target=wait).start()
    loop.call_soon(loop.call_soon, stuck.here.set)
    await done.wait()  # it waits here


def test_a_scope_that_is_attached_stands_where_its_task_waits() -> None:
    async def view(stuck: Stuck) -> None:
        await inner(stuck)

    async def inner(stuck: Stuck) -> None:
        await until_set(stuck)

    with serving(view) as scope:
        assert is_running(scope)
        assert functions(scope) == ["main", "__call__", "app", "view", "inner", "until_set"]
        assert "await done.wait()  # it waits here" in lines(scope)
    assert is_nowhere(scope)


def test_a_task_that_blocks_its_event_loop_stands_where_the_thread_does() -> None:
    async def view(stuck: Stuck) -> None:
        await asyncio.sleep(0)
        stuck.hang()

    with serving(view) as scope:
        assert functions(scope) == ["main", "__call__", "app", "view", "hang"]


def test_async_generators_and_old_style_awaitables_are_looked_into() -> None:
    class Awaitable:
        def __init__(self, stuck: Stuck) -> None:
            self.stuck = stuck

        def __await__(self) -> Any:
            yield from until_set(self.stuck).__await__()

    async def numbers(stuck: Stuck) -> Any:
        await Awaitable(stuck)
        yield 1

    async def view(stuck: Stuck) -> None:
        async for _ in numbers(stuck):
            pass

    with serving(view) as scope:
        assert functions(scope)[2:] == ["app", "view", "numbers", "__await__", "until_set"]


def test_tasks_of_the_request_and_threads_that_work_for_them_follow() -> None:
    async def view(stuck: Stuck) -> None:
        done = asyncio.Event()
        await asyncio.gather(first(done), second(stuck, done))

    async def first(done: asyncio.Event) -> None:
        await done.wait()

    async def second(stuck: Stuck, done: asyncio.Event) -> None:
        await asyncio.to_thread(job, stuck, asyncio.get_running_loop())
        done.set()

    def job(stuck: Stuck, loop: asyncio.AbstractEventLoop) -> None:
        turned = threading.Event()
        loop.call_soon_threadsafe(turned.set)  # by then all tasks wait
        assert turned.wait(PATIENCE)
        stuck.hang()

    with serving(view) as scope:
        assert functions(scope) == ["main", "__call__", "app", "view", "first", "second", "job", "hang"]


def test_a_task_that_waits_for_its_client_is_found_although_the_scope_is_detached() -> None:
    scopes: list[Any] = []

    def run(stuck: Stuck) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            scopes.append(Scope.current(ctx))
            await receive()

        class Slow(asgi.Exchange):
            async def receive(self) -> Any:
                await until_set(stuck)

        async def main() -> None:
            await Slow(within(app))

        asyncio.run(main())

    with hanging(run):
        assert is_running(scopes[0])
        assert functions(scopes[0]) == ["main", "__call__", "app", "receive", "until_set"]


def test_requests_that_take_turns_each_have_their_own_stack() -> None:
    scopes: dict[str, Any] = {}

    def run(stuck: Stuck) -> None:
        done: Any = None

        async def app(scope: Any, receive: Any, send: Any) -> None:
            scopes[scope["path"]] = Scope.current(ctx)
            await (here() if scope["path"] == "/here" else there())

        async def here() -> None:
            await until_set(stuck)

        async def there() -> None:
            await done.wait()

        async def main() -> None:
            nonlocal done
            done = asyncio.Event()
            there = asyncio.ensure_future(asyncio.wait_for(asgi.Exchange(within(app), asgi.http_scope("/there")), 60))
            await asgi.Exchange(within(app), asgi.http_scope("/here"))
            done.set()
            await there

        asyncio.run(main())

    with hanging(run):
        assert functions(scopes["/here"])[-2:] == ["here", "until_set"]
        assert functions(scopes["/there"])[-1:] == ["there"]
        assert not {"here", "until_set"} & set(functions(scopes["/there"]))


def test_a_scope_that_is_bound_stands_also_in_the_coroutine_that_its_thread_waits_for() -> None:
    scope = Scope(ctx)

    async def view(stuck: Stuck) -> None:
        await until_set(stuck)

    def run(stuck: Stuck) -> None:
        with bound(scope), propagate(scope):
            asyncio.run(view(stuck))

    with hanging(run):
        assert functions(scope)[-2:] == ["view", "until_set"]
        assert "run" in functions(scope)
    assert is_nowhere(scope)
    scope.close()


def test_attaching_by_hand_counts_until_it_is_undone() -> None:
    scope = Scope(ctx)

    async def main() -> None:
        scope.attach()
        assert is_running(scope)
        assert functions(scope)[0] == "main"
        scope.detach()
        assert is_nowhere(scope)

    asyncio.run(main())
    scope.close()
