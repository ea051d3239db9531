"""Where code of a request stands: on a thread, in tasks, or nowhere."""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support import asgi
from support.asgi import serve, within
from support.contexts import UserCtx
from support.helpers import PATIENCE, in_foreign_thread, in_thread
from support.requests import answer, ctx

from tlctx import Scope
from tlctx._core.threads import storage
from tlctx.lowlevel import bound, is_running, propagate, stack_of


class Stuck:
    """Code that hangs until it is let go."""

    def __init__(self) -> None:
        self.here = threading.Event()
        self.go = threading.Event()

    def hang(self) -> None:
        self.here.set()
        assert self.go.wait(PATIENCE)  # it hangs here


@contextlib.contextmanager
def hanging(run: Callable[[Stuck], object]) -> Iterator[Stuck]:
    """A block during which another thread has called `run`, which hangs."""
    stuck = Stuck()
    thread = threading.Thread(target=run, args=(stuck,))
    thread.start()
    try:
        assert stuck.here.wait(PATIENCE)
        yield stuck
    finally:
        stuck.go.set()
        thread.join(PATIENCE)
    assert not thread.is_alive()


def functions(scope: Scope) -> list[str]:
    """The functions in which it stands, but for those of the interpreter's library and the core."""
    return [frame.name for frame in stack_of(scope) if not re.search(r"/lib/python|/_core/", frame.filename)]


def lines(scope: Scope) -> list[str | None]:
    return [frame.line for frame in stack_of(scope)]


def has_nothing(scope: Scope) -> bool:
    return not is_running(scope) and stack_of(scope) == []


# Threads


def test_a_scope_that_is_bound_stands_where_its_thread_does() -> None:
    scope = Scope(ctx)
    assert has_nothing(scope)
    with hanging(lambda stuck: scope.run(stuck.hang)):
        assert is_running(scope)
        assert functions(scope)[-1:] == ["hang"]
        assert "assert self.go.wait(PATIENCE)  # it hangs here" in lines(scope)
    assert has_nothing(scope)
    scope.close()
    assert has_nothing(scope)


def test_the_outermost_call_comes_first_and_no_call_of_the_one_who_asks_is_among_them() -> None:
    with ctx.scope() as scope:
        found = [frame.name for frame in stack_of(scope)]
    assert found[-1] == "test_the_outermost_call_comes_first_and_no_call_of_the_one_who_asks_is_among_them"
    assert len(found) > 3


def test_it_shows_no_values() -> None:
    with ctx.scope() as scope:
        password = "s3cret"
        assert password
        assert all(frame.locals is None for frame in stack_of(scope))


def test_a_thread_that_threading_did_not_start_is_found_too() -> None:
    scope = Scope(ctx)
    assert in_foreign_thread(lambda: scope.run(lambda: (is_running(scope), functions(scope)[0]))) == (True, "run")
    assert has_nothing(scope)


def test_a_thread_is_found_also_after_threading_local_was_another_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    class Other(threading.local):
        """As a library has it that patches."""

    def run() -> bool:
        assert ctx.get("user", None) is None
        with monkeypatch.context() as patch:
            patch.setattr(threading, "local", Other)
            with ctx.scope():
                pass
            instance = storage._instances.pop(Other)
        del instance
        with ctx.scope() as scope:
            assert "run" in functions(scope)
            return is_running(scope)

    assert in_thread(run)


def test_scopes_on_one_thread_all_stand_there() -> None:
    scopes = [Scope(ctx) for _ in range(4)]

    def nest(stuck: Stuck) -> None:
        with scopes[0], bound(scopes[1]):
            scopes[2].run(with_inner, stuck)

    def with_inner(stuck: Stuck) -> None:
        with bound(scopes[2]), scopes[3]:
            stuck.hang()

    with hanging(nest):
        for scope in scopes:
            assert is_running(scope), scope
            assert functions(scope)[-3:] == ["nest", "with_inner", "hang"], scope
    for scope in scopes[1:3]:
        assert has_nothing(scope)
        scope.close()


def test_a_scope_that_an_inner_one_displaced_for_a_while_is_nowhere_when_it_is_unbound() -> None:
    outer, inner = Scope(ctx), Scope(ctx)
    with bound(outer), bound(inner):
        assert is_running(outer)
    with bound(inner):
        assert is_running(inner)
        assert has_nothing(outer)
    outer.close()
    inner.close()


def test_scopes_of_other_contexts_do_not_count() -> None:
    other = UserCtx()
    outer, inner = Scope(ctx), Scope(other)
    with bound(outer), bound(inner):
        assert is_running(outer)
        assert is_running(inner)
        assert in_thread(lambda: is_running(inner))
    with bound(outer):
        assert has_nothing(inner)
    outer.close()
    inner.close()


def test_between_two_chunks_a_stream_stands_nowhere() -> None:
    scopes: list[Any] = []

    def stream() -> Iterator[bytes]:
        scopes.append(Scope.current(ctx))
        with ctx.scope() as inner:
            scopes.append(inner)
            yield b"one"
            assert is_running(scopes[0])
            assert is_running(inner)
            yield b"two"

    body = answer(lambda environ, start_response: stream())
    iterator = iter(body)
    for _ in range(2):
        next(iterator)
        assert all(map(has_nothing, scopes))
    body.close()


def test_a_thread_that_serves_the_next_request_is_not_the_last_ones_any_more() -> None:
    first = Scope(ctx)

    def serve_both(stuck: Stuck) -> None:
        first.run(int)
        with ctx.scope():
            stuck.hang()

    with hanging(serve_both):
        assert has_nothing(first)
    first.close()


def test_nor_is_a_thread_that_got_the_id_of_one_that_ended() -> None:
    scope = Scope(ctx)
    in_thread(lambda: scope.run(int))
    assert has_nothing(scope)
    with hanging(lambda stuck: stuck.hang()):
        assert has_nothing(scope)
    scope.close()


# Tasks


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
    assert has_nothing(scope)


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
        await asyncio.to_thread(stuck.hang)
        done.set()

    with serving(view) as scope:
        assert functions(scope) == ["main", "__call__", "app", "view", "first", "second", "hang"]


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
    assert has_nothing(scope)
    scope.close()


def test_attaching_by_hand_counts_until_it_is_undone() -> None:
    scope = Scope(ctx)

    async def main() -> None:
        scope.attach()
        assert is_running(scope)
        assert functions(scope)[0] == "main"
        scope.detach()
        assert has_nothing(scope)

    asyncio.run(main())
    scope.close()


@pytest.mark.parametrize("ends", [True, False])
def test_an_ended_scope_runs_nowhere_also_while_its_code_still_does(ends: bool) -> None:
    scope = Scope(ctx)
    with bound(scope):
        if ends:
            scope.close()
        assert is_running(scope) is not ends
        assert bool(stack_of(scope)) is not ends
    scope.close()
