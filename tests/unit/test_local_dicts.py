"""`local`: each thread has a dict of its own, found by a reference to the thread and not by an id alone."""

from __future__ import annotations

import copy
import functools
import inspect
import pickle
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from support.helpers import PATIENCE, Payload, dicts_of, in_foreign_thread, in_thread

import tlctx
from tlctx._core import threads as thread_records
from tlctx._core.implementation import peek_dict, swap_dict


def test_the_package_names_the_implementation_that_it_has(implementation: str) -> None:
    assert implementation == tlctx.IMPLEMENTATION
    assert inspect.isfunction(tlctx.local.__getattribute__) == (implementation == "python")


def test_the_map_leads_from_the_threads_id_to_a_reference_to_it_and_its_dict(local: Any) -> None:
    instance = local()
    instance.x = 1

    def look() -> tuple[bool, Any]:
        instance.x = 2
        thread = threading.current_thread()
        reference, values = dicts_of(instance)[id(thread)]
        return reference() is thread, dict(values)

    assert in_thread(look) == (True, {"x": 2})
    (key, (reference, values)) = dicts_of(instance).popitem()
    assert (key, reference()) == (id(threading.current_thread()), threading.current_thread())
    assert values == {"x": 1}


def test_the_dict_is_the_threads_own(local: Any) -> None:
    instance = local()
    instance.x = 1
    assert vars(instance) is vars(instance)
    assert vars(instance) == {"x": 1}
    assert in_thread(lambda: dict(vars(instance))) == {}
    vars(instance)["y"] = 2
    assert instance.y == 2


def test_get_dict_is_a_key_error_until_create_dict_made_one(local: Any) -> None:
    impl = local()._local__impl

    def look() -> bool:
        with pytest.raises(KeyError):
            impl.get_dict()
        return impl.create_dict() is impl.get_dict()

    assert in_thread(look)


def test_the_dict_can_not_be_assigned_or_deleted(local: Any) -> None:
    instance = local()
    with pytest.raises(AttributeError, match="read-only"):
        instance.__dict__ = {}
    with pytest.raises(AttributeError, match="read-only"):
        del instance.__dict__


class EqualToAll:
    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return True


@pytest.mark.parametrize("access", ["__setattr__", "__delattr__"])
def test_a_name_that_is_equal_to_that_of_the_dict_is_taken_for_it(local: Any, access: str) -> None:
    instance = local()
    value = (2,) if access == "__setattr__" else ()
    with pytest.raises(AttributeError, match="'local' object attribute '__dict__' is read-only") as raised:
        getattr(instance, access)(EqualToAll(), *value)
    assert (raised.value.name, raised.value.obj) == ("__dict__", instance)
    assert vars(instance) == {}


def test_an_entry_under_this_threads_id_counts_only_if_it_refers_to_this_thread(local: Any) -> None:
    instance = local()
    dead, dicts = Payload(), dicts_of(instance)
    for reference in (weakref.ref(dead), weakref.ref(Payload())):
        in_thread(lambda: vars(instance))  # so that this thread's dict has to be found anew
        dicts[id(threading.current_thread())] = (reference, {"x": "a dead thread's"})
        with pytest.raises(AttributeError):
            _ = instance.x
        instance.x = "mine"
        assert vars(instance) == {"x": "mine"}


USES: dict[str, Callable[[Any, Any], Any]] = {
    "read": lambda instance, impl: instance.x,
    "write": lambda instance, impl: setattr(instance, "x", "mine"),
    "delete": lambda instance, impl: delattr(instance, "x"),
    "swap_dict": lambda instance, impl: swap_dict(instance, {"x": "mine"}),
    "swap_dict of the map": lambda instance, impl: impl.swap_dict({"x": "mine"}),
    "get_dict of the map": lambda instance, impl: impl.get_dict(),
    "peek_dict": lambda instance, impl: peek_dict(instance),
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("dead", [False, True])
def test_no_use_touches_or_returns_the_dict_of_a_dead_thread_that_had_this_ones_id(
    local: Any, use: str, *, dead: bool
) -> None:
    instance, another = local(), Payload()
    reference, values = weakref.ref(Payload() if dead else another), {"x": "a dead thread's"}
    impl, dicts = instance._local__impl, dicts_of(instance)
    in_thread(lambda: vars(instance))  # so that this thread's dict has to be found anew
    dicts[id(threading.current_thread())] = (reference, values)
    try:
        returned = USES[use](instance, impl)
    except (AttributeError, KeyError):
        returned = None
    assert returned is None
    assert values == {"x": "a dead thread's"}
    assert getattr(instance, "x", "mine") == "mine"


def test_a_foreign_thread_is_not_known_by_a_dummy_thread_that_may_be_a_dead_ones(local: Any) -> None:
    instance = local()

    def look() -> Any:
        dummy = threading.current_thread()  # up to CPython 3.12.1 the one of the thread that had this id before
        dicts_of(instance)[id(dummy)] = (weakref.ref(dummy), {"x": "a dead thread's"})
        return getattr(instance, "x", "nothing")

    assert in_foreign_thread(look) == "nothing"


def test_the_death_of_one_local_does_not_make_a_thread_forget_another(local: Any) -> None:
    known = thread_records.current_record().locals
    serials = []
    for _ in range(100):  # the memory of a dead one is soon used again, its number never
        instance = local()
        serials.append(instance._local__impl.serial)
        assert known[serials[-1]]() is instance._local__impl
        del instance
    assert len(set(serials)) == 100
    assert not set(serials) & set(known)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps], ids=["copy", "deepcopy", "pickle"])
def test_a_copy_is_a_type_error(local: Any, duplicate: Any) -> None:
    with pytest.raises(TypeError, match="can't be copied or pickled"):
        duplicate(local())


class EqualThread(threading.Thread):
    """A thread that takes itself for any other."""

    __hash__ = threading.Thread.__hash__

    def __eq__(self, other: object) -> bool:
        return True


@pytest.mark.parametrize("use", USES)
def test_no_use_touches_or_returns_the_dict_of_a_thread_that_is_only_equal_to_this_one(local: Any, use: str) -> None:
    instance, another = local(), EqualThread()
    impl, dicts = instance._local__impl, dicts_of(instance)
    values, found = {"x": "another thread's"}, []

    def run() -> None:
        thread_records.current_record()
        in_thread(lambda: vars(instance))  # so that this thread's dict has to be found anew
        dicts[id(threading.current_thread())] = (weakref.ref(another), values)
        try:
            found.append(USES[use](instance, impl))
        except (AttributeError, KeyError):
            found.append(None)
        found.append(getattr(instance, "x", "mine"))

    thread = EqualThread(target=run)
    thread.start()
    thread.join(PATIENCE)
    assert found == [None, "mine"]
    assert values == {"x": "another thread's"}


def test_an_entry_counts_whatever_reference_leads_to_this_thread(local: Any) -> None:
    thread, values = threading.current_thread(), {"x": "mine"}
    uses: list[Callable[[Any], Any]] = [peek_dict, vars, lambda instance: swap_dict(instance, {})]
    for use in uses:
        instance = local()
        dicts = dicts_of(instance)
        in_thread(functools.partial(vars, instance))  # so that this thread's dict has to be found anew
        dicts[id(thread)] = (weakref.ref(thread, lambda _: None), values)
        assert use(instance) is values
