"""`local`: finalizers of what a thread stored use it at any moment, and leave nothing."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import Any

import pytest
from support.growth import growth_of
from support.helpers import Payload, Sharing, dicts_of, in_foreign_thread, in_thread


@pytest.mark.parametrize("run", [in_thread, in_foreign_thread], ids=["thread", "foreign-thread"])
def test_a_finalizer_that_runs_at_the_threads_very_end_uses_the_local_and_makes_no_ghost(local: Any, run: Any) -> None:
    instance = local()
    seen: list[Any] = []

    class AtTheEnd:
        def __del__(self) -> None:
            seen.append(getattr(instance, "x", "nothing"))
            instance.left = Payload()
            payloads.append(weakref.ref(instance.left))

    payloads: list[Any] = []
    known_before = set(threading.enumerate())
    run(lambda: setattr(instance, "value", AtTheEnd()))
    gc.collect()
    assert seen == ["nothing"]
    assert payloads[0]() is None
    assert list(dicts_of(instance)) in ([], [id(threading.current_thread())])
    assert set(threading.enumerate()) <= known_before
    assert in_foreign_thread(lambda: dict(vars(instance))) == {}
    assert set(threading.enumerate()) <= known_before


@pytest.mark.parametrize("run", [in_thread, in_foreign_thread], ids=["thread", "foreign-thread"])
def test_a_finalizer_that_uses_the_local_when_its_thread_ends_leaves_nothing(local: Any, run: Any) -> None:
    instance = local()

    class AtTheEnd:
        def __del__(self) -> None:
            getattr(instance, "x", "nothing")
            instance.left = []

    growth = growth_of("", lambda: run(lambda: setattr(instance, "value", AtTheEnd())), 20)
    assert not growth.leaks, str(growth)


def test_what_a_finalizer_stores_when_the_threads_storage_has_gone_does_not_pile_up(local: Any) -> None:
    instance, others = local(), threading.local()
    payloads: list[Any] = []
    idents: set[int] = set()

    class VeryLate:
        def __init__(self, number: int) -> None:
            self.number = number

        def __del__(self) -> None:
            seen.append(getattr(instance, "x", self.number) - self.number)  # the thread's own, or none any more
            instance.left = Payload()
            payloads.append(weakref.ref(instance.left))

    seen: list[int] = []
    numbers = iter(range(50))

    def store() -> None:
        idents.add(threading.get_ident())
        instance.x = next(numbers)
        others.value = VeryLate(instance.x)  # stored after ours, so it goes after ours

    for _ in range(50):
        in_thread(store)
    assert seen == [0] * 50
    left = [payload for payload in payloads if payload() is not None]
    assert len(left) <= len(idents) < 50, "no id was reused: this machine can't show it"


def test_a_finalizer_that_the_collector_runs_in_the_middle_of_an_access_uses_the_same_local(local: Any) -> None:
    instance = local()
    instance.x = -1
    ran: list[Any] = []

    class InACycle:
        def __init__(self) -> None:
            self.myself = self

        def __del__(self) -> None:
            ran.append(instance.x)
            instance.finalized = True

    threshold = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for number in range(300):
            InACycle()
            instance.x = number
            assert instance.x == number
            fresh = local()
            fresh.x = number
    finally:
        gc.set_threshold(*threshold)
    gc.collect()
    assert len(ran) >= 299


def test_a_finalizer_of_a_value_that_another_object_replaces_in_the_dict_reads_the_new_one(local: Any) -> None:
    instance = local()
    sharing = Sharing()
    sharing.__dict__ = vars(instance)
    seen: list[Any] = []

    class Part:
        def __del__(self) -> None:
            seen.append(instance.x)

    class Whole:
        def __init__(self) -> None:
            self.part = Part()

    def store(value: Any) -> None:
        sharing.x = value  # type: ignore[attr-defined]

    for number in range(50):  # the interpreter learns how to write it without a look-up
        store(number)
    store(Whole())
    for _ in range(5):
        assert isinstance(instance.x, Whole)
    store("new")
    assert seen == ["new"]
