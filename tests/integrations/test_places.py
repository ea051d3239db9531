"""The error where a context is used without a request names what helps in that very place. Each place is a real one."""

from __future__ import annotations

import asyncio
import contextvars
import importlib
import importlib.util
import multiprocessing.pool
import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio.to_thread
import pytest
from asgiref.sync import sync_to_async
from support.contexts import UserCtx
from support.helpers import PATIENCE, in_foreign_thread, in_thread, start_nothing

from tlctx import ContextMiddleware, OutsideRequestError, RequestEndedError, _frameworks
from tlctx._core import places
from tlctx.lowlevel import explanations

Read = Callable[[], str]

ADVICE = {
    name: text
    for name, text in {**vars(places), **vars(_frameworks)}.items()
    if isinstance(text, str) and name.isupper()
}
POOL = ["tlctx.threads.ThreadPoolExecutor", "tlctx.threads.wrap", "ctx.scope"]
TASK = ["tlctx.asgi.ContextMiddleware", "tlctx.lowlevel.propagate", "ctx.scope"]


def named_in(text: str) -> list[str]:
    """What the text of an error has in backquotes, without arguments."""
    return [code.removeprefix("with ").partition("(")[0] for code in re.findall(r"`(.+?)`", text)]


@pytest.fixture
def read() -> Read:
    """Uses a context where it has no request, and returns the text of the error."""
    ctx = UserCtx()

    def read() -> str:
        with pytest.raises(OutsideRequestError) as caught:
            _ = ctx.user
        return str(caught.value)

    return read


def in_a_pool(read: Read) -> str:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(read).result(PATIENCE)


def in_a_map_of_a_pool_of_another_class(read: Read) -> str:
    class Pool(ThreadPoolExecutor):
        """What many projects have."""

    with Pool(1, thread_name_prefix="of us") as pool:
        return next(pool.map(lambda _: read(), [1]))


def in_a_pool_with_copied_context_variables(read: Read) -> str:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(contextvars.copy_context().run, read).result(PATIENCE)


def in_a_pool_of_multiprocessing(read: Read) -> str:
    with multiprocessing.pool.ThreadPool(1) as pool:
        return pool.apply(read)


def in_a_timer(read: Read) -> str:
    found: list[str] = []
    timer = threading.Timer(0, lambda: found.append(read()))
    timer.start()
    timer.join(PATIENCE)
    return found.pop()


def in_a_thread_of_another_class(read: Read) -> str:
    class Reader(threading.Thread):
        def run(self) -> None:
            self.found = read()

    thread = Reader()
    thread.start()
    thread.join(PATIENCE)
    return thread.found


def on_a_loop(call: Callable[[Read], Any]) -> Callable[[Read], str]:
    async def main(read: Read) -> str:
        return await call(read)  # type: ignore[no-any-return]

    def place(read: Read) -> str:
        return asyncio.run(main(read))

    return place


async def in_a_coroutine(read: Read) -> str:
    return read()


async def in_a_callback(read: Read) -> str:
    found = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(lambda: found.set_result(read()))
    return await found  # type: ignore[no-any-return]


async def by_run_in_executor(read: Read) -> str:
    return await asyncio.get_running_loop().run_in_executor(None, read)


async def by_run_in_executor_in_a_pool(read: Read) -> str:
    with ThreadPoolExecutor(1) as pool:
        return await asyncio.get_running_loop().run_in_executor(pool, read)


def in_a_task_of_trio(read: Read) -> str:
    trio = pytest.importorskip("trio", reason="needs the package trio")
    return trio.run(in_a_coroutine, read)  # type: ignore[no-any-return]


def in_a_thread_that_trio_calls(read: Read) -> str:
    trio = pytest.importorskip("trio", reason="needs the package trio")
    return trio.run(trio.to_thread.run_sync, read)  # type: ignore[no-any-return]


def in_an_unpatched_greenlet(read: Read) -> str:
    greenlet = pytest.importorskip("greenlet", reason="needs the package greenlet")
    return greenlet.greenlet(read).switch()  # type: ignore[no-any-return]


def in_a_wsgi_application(read: Read) -> str:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        return [read().encode()]

    [text] = ContextMiddleware(app, UserCtx())({}, start_nothing)
    return text.decode()


def in_an_asgi_application(read: Read) -> str:
    found: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        found.append(await in_a_coroutine(read))

    asyncio.run(app({}, None, None))
    return found.pop()


def in_a_task_of_celery(read: Read) -> str:
    celery = pytest.importorskip("celery", reason="needs the package celery")
    app = celery.Celery("of a test", set_as_current=False)
    return app.task(read, name="read").apply().get()  # type: ignore[no-any-return]


PLACES: list[tuple[Callable[[Read], str], list[str]]] = [
    (in_a_pool, POOL),
    (in_a_map_of_a_pool_of_another_class, POOL),
    (in_a_pool_with_copied_context_variables, POOL),
    (in_a_pool_of_multiprocessing, ["tlctx.threads.wrap", "ctx.scope"]),
    (in_thread, ["tlctx.threads.Thread", "tlctx.threads.wrap", "ctx.scope"]),
    (in_a_thread_of_another_class, ["tlctx.threads.Thread", "tlctx.threads.wrap", "ctx.scope"]),
    (in_a_timer, ["tlctx.threads.Timer", "ctx.scope"]),
    (in_foreign_thread, ["threading", "tlctx.threads.wrap", "ctx.scope"]),
    (on_a_loop(in_a_coroutine), TASK),
    (on_a_loop(in_a_callback), TASK),
    (on_a_loop(asyncio.to_thread), TASK),
    (on_a_loop(lambda read: sync_to_async(read)()), TASK),
    (on_a_loop(lambda read: sync_to_async(read, thread_sensitive=False)()), TASK),
    (on_a_loop(anyio.to_thread.run_sync), TASK),
    (on_a_loop(by_run_in_executor), ["loop.run_in_executor", "asyncio.to_thread", "tlctx.threads.wrap", "ctx.scope"]),
    (on_a_loop(by_run_in_executor_in_a_pool), POOL),
    (in_a_task_of_trio, TASK),
    (in_a_thread_that_trio_calls, TASK),
    (in_an_unpatched_greenlet, ["tlctx.threads.wrap", "ctx.scope"]),
    (in_a_wsgi_application, ["ContextMiddleware"]),
    (in_a_task_of_celery, ["tlctx.celery.install"]),
    (in_an_asgi_application, ["tlctx.asgi.ContextMiddleware"]),
    (lambda read: read(), ["ctx.scope"]),
]


@pytest.mark.parametrize(("place", "helpers"), PLACES)
def test_the_error_names_the_helpers_for_its_place(
    place: Callable[[Read], str], helpers: list[str], read: Read
) -> None:
    text = place(read)
    assert named_in(text) == helpers
    assert re.match(r"reading 'user' on thread '.+', where no request (of this UserCtx )?is running: an? ", text)


@pytest.mark.parametrize("name", ADVICE)
def test_the_helpers_that_are_named_are_there(name: str) -> None:
    for helper in re.findall(r"tlctx\.[\w.]+\w", ADVICE[name]):
        module, _, attribute = helper.rpartition(".")
        if importlib.util.find_spec(".".join(module.split(".")[:2])) is None:
            pytest.skip(f"{module} is not in this checkout")
        assert callable(getattr(importlib.import_module(module), attribute)), helper


def test_the_error_after_the_end_names_the_helper_for_work_that_goes_on() -> None:
    ctx = UserCtx()
    with ctx.scope() as scope:
        scope.close()
        with pytest.raises(RequestEndedError) as caught:
            _ = ctx.user
    assert named_in(str(caught.value)) == ["tlctx.threads.wrap", "ctx.scope"]


def test_an_explanation_of_an_integration_comes_before_the_advice(read: Read) -> None:
    def explain(context: Any) -> str:
        return "an integration knows why"

    explanations.append(explain)
    try:
        assert in_a_pool(read).endswith("no request of this UserCtx is running: an integration knows why")
    finally:
        explanations.remove(explain)
