"""The accelerator's cache is never seen: threads, classes and names that change are as they are without it."""

from __future__ import annotations

import ctypes
import threading
import weakref
from functools import partial
from typing import Any

import pytest
from accelerator.built import _accelerator
from support.helpers import PATIENCE, in_thread, run_program
from support.threads import run_at_once

import tlctx


class Payload:
    pass


def entries_of(instance: Any) -> dict[int, Any]:
    return {key: values for key, (_, values) in instance._local__impl.dicts.items()}


def test_a_thread_that_takes_the_cache_over_leaves_the_other_ones_values_in_the_map() -> None:
    instance = _accelerator.local()
    for number in range(20):
        instance.x = number
        assert in_thread(lambda: getattr(instance, "x", "nothing")) == "nothing"
        assert instance.x == number
        assert entries_of(instance) == {id(threading.current_thread()): {"x": number}}


def test_a_look_at_the_map_shows_what_bind_and_unbind_wrote_to_the_cache_alone() -> None:
    if tlctx.IMPLEMENTATION != "c":
        pytest.skip("contexts are those of the pure-Python implementation here")
    ctx: Any = type(tlctx.ctx)()
    with ctx.scope() as scope:
        key = id(threading.current_thread())
        assert entries_of(ctx) == {key: scope.namespace}
        assert in_thread(lambda: entries_of(ctx)) == {key: scope.namespace}
        with ctx.scope() as inner:
            assert in_thread(lambda: entries_of(ctx)[key]) is inner.namespace
        assert entries_of(ctx)[key] is scope.namespace
    assert in_thread(lambda: entries_of(ctx)) == entries_of(ctx) == {}


def test_threads_that_take_turns_at_every_access_see_their_own() -> None:
    instance = _accelerator.local()
    wrong: list[Any] = []
    turns = threading.Barrier(4)

    def take_turns(number: int) -> None:
        for step in range(200):
            turns.wait(PATIENCE)
            instance.x = number, step
            turns.wait(PATIENCE)
            if instance.x != (number, step):
                wrong.append((number, step, instance.x))

    run_at_once(partial(take_turns, number) for number in range(4))
    assert not turns.broken
    assert wrong == []


def test_the_cache_frees_a_dead_threads_values_and_a_dead_local_frees_its_own() -> None:
    holder = [_accelerator.local()]

    def store() -> Any:
        holder[0].value = Payload()
        assert holder[0].value
        return weakref.ref(holder[0].value)

    assert in_thread(store)() is None
    payload = store()
    assert holder[0].value is payload()
    holder.clear()
    assert payload() is None


def test_more_names_than_the_cache_has_entries_are_not_mixed_up() -> None:
    class Mine(_accelerator.local):
        def __init__(self) -> None:
            for name in names[::2]:
                setattr(self, name, f"own {name}")

    names = [f"name_{number}" for number in range(100)]
    for name in names[1::2]:
        setattr(Mine, name, f"class {name}")
    mine = Mine()
    for _ in range(3):
        assert [getattr(mine, name) for name in names[::2]] == [f"own {name}" for name in names[::2]]
        assert [getattr(mine, name) for name in names[1::2]] == [f"class {name}" for name in names[1::2]]


def test_a_base_that_changes_and_a_class_that_is_exchanged_count_at_once() -> None:
    class Base(_accelerator.local):
        pass

    class Mine(Base):
        pass

    class Other(Base):
        x = property(lambda _: "the other class's")

    mine: Any = Mine()
    mine.x = "own"
    assert [mine.x, mine.x] == ["own", "own"]
    Base.x = property(lambda _: "the base's")  # type: ignore[attr-defined]
    assert mine.x == "the base's"
    del Base.x  # type: ignore[attr-defined]
    assert mine.x == "own"
    mine.__class__ = Other
    assert mine.x == "the other class's"
    mine.__class__ = Mine
    assert mine.x == "own"


TAKE_ALL_WATCHERS = """
import ctypes
add, callback = ctypes.pythonapi.PyDict_AddWatcher, ctypes.CFUNCTYPE(ctypes.c_int)(int)
free = 0
try:
    while add(callback) >= 0:
        free += 1
except RuntimeError as error:
    assert "no more dict watcher IDs" in str(error)
"""

PATCHED_LATER = """
import _thread, threading
import tlctx

class OfTasks:
    # What gevent puts in the place of threading.local: it has other attributes in each task.

    def __init__(self):
        object.__setattr__(self, "tasks", {})

    def __getattr__(self, name):
        try:
            return self.tasks[task][name]
        except KeyError:
            raise AttributeError(name)

    def __setattr__(self, name, value):
        self.tasks.setdefault(task, {})[name] = value

instance, task = tlctx.local(), 1
instance.x = "thread"
found = [instance.x, instance.x]
plain, threading.local, threading.get_ident = threading.local, OfTasks, lambda: task
for task in (1, 2):
    instance.x = f"task {task}"
for task in (1, 2):
    found.append(instance.x)
threading.local, threading.get_ident = plain, _thread.get_ident
found.append(instance.x)
print(tlctx.IMPLEMENTATION, *found, sep=", ")
"""

LOOP_LATER = """
import sys
import tlctx
from tlctx import Scope, ctx

def is_in_a_loop():
    scope = Scope(ctx)
    displaced = scope.bind()
    try:
        return scope._in_loop
    finally:
        scope.unbind(displaced)
        scope.close()

found = [is_in_a_loop(), is_in_a_loop()]
assert "asyncio" not in sys.modules
import asyncio

async def main():
    return is_in_a_loop()

found += [asyncio.run(main()), is_in_a_loop()]
print(tlctx.IMPLEMENTATION, *found, sep=", ")
"""


@pytest.mark.parametrize("taken", [False, True], ids=["watched", "all watchers taken"])
@pytest.mark.parametrize(
    ("program", "shown"),
    [
        (PATCHED_LATER, "c, thread, thread, task 1, task 2, thread\n"),
        (LOOP_LATER, "c, False, False, True, False\n"),
    ],
    ids=["threading is patched", "asyncio is imported"],
)
def test_what_changes_after_the_accelerator_looked_at_it_counts_at_once(
    program: str, shown: str, *, taken: bool
) -> None:
    if taken and not hasattr(ctypes.pythonapi, "PyDict_AddWatcher"):
        pytest.skip("dicts have versions here, and no watchers")
    if tlctx.IMPLEMENTATION != "c":
        pytest.skip("a program imports the pure-Python implementation here")
    assert run_program((TAKE_ALL_WATCHERS if taken else "") + program) == shown


def test_loading_the_accelerator_again_and_again_takes_no_watcher_from_others() -> None:
    if not hasattr(ctypes.pythonapi, "PyDict_AddWatcher"):
        pytest.skip("dicts have versions here, and no watchers")
    load = """
import gc, importlib, sys
for _ in range(20):
    module = importlib.import_module("tlctx._core._accelerator")
    instance = module.local()
    instance.x = 1
    assert instance.x == 1
    del sys.modules[module.__name__], sys.modules["tlctx._core"]._accelerator, module, instance
    gc.collect()
"""
    free = [run_program(program + TAKE_ALL_WATCHERS + "print(free)") for program in ("import tlctx\n", load)]
    assert free[0] == free[1]


def test_a_class_that_changes_more_often_than_the_interpreter_counts_is_read_right() -> None:
    class Mine(_accelerator.local):
        pass

    mine: Any = Mine()
    mine.x = "own"
    for number in range(1500):  # from CPython 3.13 on a class has no version any more after 1,000
        Mine.x = property(lambda _, number=number: f"the class's {number}")  # type: ignore[attr-defined,misc]
        assert mine.x == f"the class's {number}"
        del Mine.x  # type: ignore[attr-defined]
        assert [mine.x, mine.x] == ["own", "own"]


def test_what_a_class_has_may_become_a_data_descriptor_however_often_its_own_class_changes() -> None:
    class Kind:
        pass

    class Mine(_accelerator.local):
        x = Kind()

    mine: Any = Mine()
    mine.x = "own"
    for _ in range(1500):
        Kind.__get__ = lambda *_: "the class's"  # type: ignore[attr-defined]
        Kind.__set__ = lambda *_: None  # type: ignore[attr-defined]
        assert mine.x == "the class's"
        del Kind.__get__, Kind.__set__  # type: ignore[attr-defined]
        assert [mine.x, mine.x] == ["own", "own"]
