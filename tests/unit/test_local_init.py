"""`local`: `__init__` runs in every thread, and no lock is held while code of the user runs."""

from __future__ import annotations

import gc
import threading
from typing import Any

import pytest
from support.helpers import PATIENCE, dicts_of, in_foreign_thread, in_thread


def test_init_runs_in_every_thread_with_the_constructors_arguments(local: Any) -> None:
    class Mine(local):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            self.calls = getattr(self, "calls", 0) + 1
            self.given = args, kwargs

    mine = Mine(1, two=2)
    for where in (lambda look: look(), in_thread, in_foreign_thread):
        assert where(lambda: (mine.calls, mine.given)) == (1, ((1,), {"two": 2}))


def test_arguments_without_an_init_are_a_type_error(local: Any) -> None:

    class Derived(local):  # type: ignore[misc]
        pass

    for make in (lambda: local(1), lambda: local(a=1), lambda: Derived(1)):
        with pytest.raises(TypeError, match="takes no arguments"):
            make()


def test_an_init_that_raises_leaves_nothing_behind_and_is_tried_again(local: Any) -> None:
    failures = iter([None, ValueError("first"), KeyboardInterrupt("second"), None])

    class Mine(local):  # type: ignore[misc]
        def __init__(self) -> None:
            self.half = "built"
            failure = next(failures)
            if failure is not None:
                raise failure
            self.whole = True

    mine = Mine()
    dicts = dicts_of(mine)

    def touch() -> dict[str, Any]:
        with pytest.raises(ValueError, match="first"):
            _ = mine.whole
        assert id(threading.current_thread()) not in dicts
        with pytest.raises(KeyboardInterrupt, match="second"):
            mine.other = 1
        return dict(vars(mine))

    assert in_thread(touch) == {"half": "built", "whole": True}


def test_no_lock_is_held_while_a_property_runs(local: Any) -> None:
    together = threading.Barrier(4)

    class Mine(local):  # type: ignore[misc]
        @property
        def slow(self) -> int:
            return together.wait(PATIENCE)  # passes only when four threads are in here at once

    mine = Mine()
    results: list[int] = []
    threads = [threading.Thread(target=lambda: results.append(mine.slow)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert sorted(results) == [0, 1, 2, 3]


def test_no_lock_is_held_while_init_runs(local: Any) -> None:
    together = threading.Barrier(3)

    class Mine(local):  # type: ignore[misc]
        def __init__(self, barrier: Any = None) -> None:
            if barrier is not None and threading.current_thread() is not threading.main_thread():
                barrier.wait(PATIENCE)

    mine = Mine(together)
    threads = [threading.Thread(target=lambda: vars(mine)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert not together.broken


def test_a_property_goes_on_with_its_own_threads_values_after_another_thread_came_by(local: Any) -> None:
    class Mine(local):  # type: ignore[misc]
        @property
        def both(self) -> tuple[str, str]:
            before = self.x
            in_thread(lambda: setattr(mine, "x", "the other thread's"))
            return before, self.x

    mine = Mine()
    mine.x = "mine"
    assert mine.both == ("mine", "mine")


def test_an_init_that_exchanges_the_class_in_a_new_thread_counts_for_the_access_that_ran_it(local: Any) -> None:
    class Second(local):  # type: ignore[misc]
        where = "second"

    class First(local):  # type: ignore[misc]
        where = "first"

        def __init__(self) -> None:
            if threading.current_thread() is not threading.main_thread():
                self.__class__ = Second

    mine = First()
    del First
    gc.collect()
    assert in_thread(lambda: mine.where) == "second"


def test_an_init_of_any_kind_takes_arguments(local: Any) -> None:
    class EqualToAll:
        __hash__ = object.__hash__

        def __eq__(self, other: object) -> bool:
            return True

        def __call__(self, *args: Any) -> None:
            given.append(args)

    class Mine(local):  # type: ignore[misc]
        __init__ = EqualToAll()

    given: list[Any] = []
    Mine(1)
    assert given == [(1,)]
