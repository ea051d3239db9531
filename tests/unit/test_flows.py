"""Which flow of execution runs: a coroutine of whatever event loop, a greenlet, or the thread itself."""

from __future__ import annotations

import asyncio
import sys
import threading
import types
from collections.abc import AsyncGenerator, Generator, Iterator
from typing import Any

import pytest

from tlctx._core.flows import has_coroutine_frame, in_coroutine, in_unpatched_greenlet, outermost_coroutine
from tlctx._core.threads import storage


def look_from_plain_code() -> bool:
    return has_coroutine_frame()


async def coroutine() -> bool:
    return has_coroutine_frame()


async def coroutine_that_calls_plain_code() -> bool:
    return look_from_plain_code()


@types.coroutine
def old_coroutine() -> Generator[bool, None, None]:
    yield has_coroutine_frame()


async def async_generator() -> AsyncGenerator[bool, None]:
    yield has_coroutine_frame()


def generator() -> Iterator[bool]:
    yield has_coroutine_frame()


def first_result(steps: Any) -> Any:
    """What a coroutine returns, or one step of an async generator yields, that waits for nothing."""
    try:
        steps.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("it waits")


def test_coroutines_of_every_kind_are_told_from_the_code_that_called_them() -> None:
    assert first_result(coroutine())
    assert first_result(coroutine_that_calls_plain_code())
    assert first_result(anext(async_generator()))
    assert next(old_coroutine())


def test_plain_functions_and_generators_are_no_coroutines() -> None:
    assert not look_from_plain_code()
    assert not next(generator())


def test_everything_that_a_running_event_loop_calls_is_in_a_coroutine() -> None:
    found: list[bool] = []

    async def main() -> None:
        asyncio.get_running_loop().call_soon(lambda: found.append(in_coroutine()))
        await asyncio.sleep(0)
        found.append(in_coroutine())

    asyncio.run(main())
    assert found == [True, True]
    assert not in_coroutine()


@pytest.mark.parametrize("loop", ["trio", "curio"])
def test_frames_tell_where_an_event_loop_runs_that_keeps_its_state_to_itself(
    loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> bool:
        return in_coroutine()

    for name in ("trio", "curio"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    assert not first_result(main())
    monkeypatch.setitem(sys.modules, loop, types.ModuleType(loop))
    assert first_result(main())
    assert not in_coroutine()


@pytest.mark.parametrize("asyncio_module", [None, types.ModuleType("asyncio")], ids=["none", "half-imported"])
def test_there_is_no_event_loop_where_asyncio_is_not_imported(
    asyncio_module: types.ModuleType | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "asyncio", asyncio_module)
    assert not in_coroutine()


class Greenlet:
    def __init__(self, parent: Greenlet | None) -> None:
        self.parent = parent


@pytest.fixture
def running_greenlet(monkeypatch: pytest.MonkeyPatch) -> Greenlet:
    """A stand-in for the greenlet that runs, and for its package; it has a parent, so it is not the thread's own."""
    running = Greenlet(Greenlet(None))
    module: Any = types.ModuleType("greenlet")
    module.getcurrent = lambda: running
    monkeypatch.setitem(sys.modules, "greenlet", module)
    return running


def test_a_greenlet_is_not_the_threads_own_one(running_greenlet: Greenlet) -> None:
    assert in_unpatched_greenlet()
    running_greenlet.parent = None
    assert not in_unpatched_greenlet()


def test_there_is_no_greenlet_where_the_package_is_not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "greenlet", raising=False)
    assert not in_unpatched_greenlet()


@pytest.mark.parametrize("module", ["Patched", "gevent.local"])
def test_a_greenlet_counts_as_a_thread_from_the_moment_that_threading_local_is_patched(
    module: str, running_greenlet: Greenlet, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Patched(threading.local):
        __module__ = module

    assert in_unpatched_greenlet()
    with monkeypatch.context() as patch:
        patch.setattr(threading, "local", Patched)
        assert not in_unpatched_greenlet()
    del storage._instances[Patched]
    assert in_unpatched_greenlet()


async def outermost() -> Any:
    return outermost_coroutine(), sys._getframe()


async def awaiting() -> Any:
    return await outermost(), sys._getframe()


def test_the_outermost_coroutine_is_the_one_that_awaits_the_others() -> None:
    (found, inner), outer = first_result(awaiting())
    assert found is outer
    found, inner = first_result(outermost())
    assert found is inner


def test_what_runs_a_coroutine_is_none_itself_whatever_its_name() -> None:
    steps = outermost()
    run: Any = lambda: steps.send(None)  # noqa: E731
    with pytest.raises(StopIteration) as done:
        run()
    found, frame = done.value.value
    assert found is frame


def trio_module(current_task: Any) -> Any:
    module: Any = types.ModuleType("trio")
    module.lowlevel = types.SimpleNamespace(current_task=current_task)
    return module


def no_task() -> Any:
    raise RuntimeError("must be called from async context")


@pytest.mark.parametrize(
    ("module", "is_told"),
    [(trio_module(lambda: "a task"), True), (trio_module(no_task), False), (types.ModuleType("trio"), False)],
    ids=["running", "idle", "half-imported"],
)
def test_trio_gives_each_task_a_context_of_its_own(module: Any, is_told: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trio", module)
    found, frame = first_result(outermost())
    assert found is (None if is_told else frame)
