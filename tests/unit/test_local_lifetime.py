"""`local`: values are freed when their thread has ended, or when the local goes."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from support.helpers import PATIENCE, Payload, dicts_of, in_thread

from tlctx._core import threads as thread_records


def test_an_error_of_the_locals_own_that_a_thread_stores_goes_with_it(local: Any) -> None:
    class Refusing(local):  # type: ignore[misc]
        @property
        def refused(self) -> Any:
            raise AttributeError

    mine, payloads = Refusing(), []

    def store() -> None:
        mine.payload = Payload()
        payloads.append(weakref.ref(mine.payload))
        uses: list[Callable[[], Any]] = [
            lambda: mine.x,
            lambda: mine.refused,
            lambda: setattr(mine, "refused", 1),
            lambda: delattr(mine, "x"),
            lambda: setattr(mine, "__dict__", {}),
        ]
        for number, use in enumerate(uses):
            with pytest.raises(AttributeError) as raised:
                use()
            setattr(mine, f"error_{number}", raised.value)

    gc.disable()
    try:
        in_thread(store)
        assert list(dicts_of(mine)) == [id(threading.current_thread())]
    finally:
        gc.enable()
    gc.collect()
    assert payloads[0]() is None


def test_values_are_freed_when_the_thread_has_ended_although_its_thread_object_is_kept(local: Any) -> None:
    instance = local()
    payload: list[Any] = []

    def store() -> None:
        instance.value = Payload()
        payload.append(weakref.ref(instance.value))

    thread = threading.Thread(target=store)
    thread.start()
    thread.join(PATIENCE)
    assert payload[0]() is None
    assert thread.name


@pytest.mark.parametrize("cycle", ["thread", "traceback", "dict"])
def test_values_that_refer_to_their_own_thread_are_freed(local: Any, cycle: str) -> None:
    instance = local()

    def store() -> Any:
        payload = Payload()
        try:
            raise ValueError
        except ValueError as error:
            own = {"thread": threading.current_thread(), "traceback": error, "dict": vars(instance)}
        payload.own = own[cycle]  # type: ignore[attr-defined]
        instance.payload = payload
        return weakref.ref(payload)

    payload = in_thread(store)
    gc.collect()
    assert payload() is None


def test_a_look_that_fails_keeps_nothing_alive(local: Any) -> None:
    instance = local()

    def store() -> Any:
        instance.value = Payload()
        assert not hasattr(instance, "nothing")
        return weakref.ref(instance.value)

    gc.disable()
    try:
        assert in_thread(store)() is None
    finally:
        gc.enable()


def test_values_are_freed_in_every_thread_when_the_local_goes(local: Any) -> None:
    instance = local()
    instance.value = Payload()
    payloads = [weakref.ref(instance.value)]
    stored, release = threading.Event(), threading.Event()

    def keep() -> None:
        instance_of_thread = holder[0]
        instance_of_thread.value = Payload()
        payloads.append(weakref.ref(instance_of_thread.value))
        del instance_of_thread
        stored.set()
        release.wait(PATIENCE)

    holder = [instance]
    thread = threading.Thread(target=keep)
    thread.start()
    assert stored.wait(PATIENCE)
    del holder[:], instance
    gc.collect()
    assert [payload() for payload in payloads] == [None, None]
    release.set()
    thread.join(PATIENCE)


def test_nothing_is_left_of_a_thousand_dead_threads_and_a_thousand_dead_locals(local: Any) -> None:
    instance = local()
    instance.x = 0
    known = thread_records.current_record().locals
    before = len(known)
    for number in range(1000):
        in_thread(lambda number=number: setattr(instance, "x", number))  # type: ignore[misc]
        local().x = number
    gc.collect()
    assert len(dicts_of(instance)) == 1
    assert len(known) == before
    assert not thread_records._ending


def test_nothing_is_known_any_more_of_threads_that_have_ended(local: Any) -> None:
    instance, together = local(), threading.Barrier(8)
    idents: set[int] = set()

    def touch() -> None:
        instance.x = 1
        idents.add(threading.get_ident())
        together.wait(PATIENCE)  # so that each has an id of its own

    threads = [threading.Thread(target=touch) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert len(idents) == 8
    assert not idents & set(thread_records._latest)
