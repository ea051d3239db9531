"""`local`: the behaviour of `threading.local`, and what is better than the code it grew from."""

from __future__ import annotations

import copy
import gc
import inspect
import os
import pickle
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

import greenlet
import pytest
from support.growth import growth_of
from support.helpers import PATIENCE, OnlyDeletes, OnlySets, in_foreign_thread, in_thread, run_program

import tlctx
from tlctx._core import lifetime


class Payload:
    """Something that can be watched while it dies."""


class Boom(Exception):
    pass


def dicts_of(instance: Any) -> dict[int, Any]:
    return instance._local__impl.dicts  # type: ignore[no-any-return]


def test_the_package_names_the_implementation_that_it_has(implementation: str) -> None:
    assert tlctx.IMPLEMENTATION == implementation
    assert inspect.isfunction(tlctx.local.__getattribute__) == (implementation == "python")


# The structure


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


# The attribute protocol, compared with the interpreter's own thread-local


def outcome_of(action: Any) -> Any:
    try:
        return action()
    except Exception as error:
        return type(error)


class Special:
    """What a class may have: each kind of attribute that decides, or does not decide, before the instance."""

    constant = "class"

    @property
    def computed(self) -> str:
        return f"property of {vars(self).get('name')}"

    @property
    def broken(self) -> str:
        raise AttributeError("from the property's own code")

    @classmethod
    def of_class(cls) -> str:
        return cls.__name__

    def method(self) -> Any:
        return self

    def __getattr__(self, name: str) -> str:
        if name.startswith("fallback"):
            return f"made up {name}"
        raise AttributeError(name)


def protocol_steps(base: Any) -> list[Any]:
    class Subject(base, Special):  # type: ignore[misc]
        sets = OnlySets()
        deletes = OnlyDeletes()
        __slots__ = ("slot",)

    subject = Subject()

    def put(name: str, value: Any) -> Any:
        return lambda: setattr(subject, name, value)

    def remove(name: str) -> Any:
        return lambda: delattr(subject, name)

    def read(name: str) -> Any:
        return lambda: getattr(subject, name)

    def into_dict(name: str) -> Any:
        return lambda: subject.__dict__.update({name: "in the dict"})

    steps = [
        read("x"), put("x", 1), read("x"), remove("x"), remove("x"), read("x"),
        read("constant"), put("constant", "own"), read("constant"), remove("constant"), read("constant"),
        read("computed"), put("computed", 1), remove("computed"), into_dict("computed"), read("computed"),
        read("broken"), read("fallback_1"), read("of_class"), subject.of_class,
        lambda: subject.method() is subject, into_dict("method"), read("method"),
        read("slot"), put("slot", 1), read("slot"), lambda: in_thread(read("slot")), remove("slot"), read("slot"),
        put("sets", 5), read("set_through"), remove("sets"), into_dict("sets"), read("sets"),
        remove("deletes"), read("deleted_through"), put("deletes", 1), into_dict("deletes"), read("deletes"),
        lambda: sorted(vars(subject)), lambda: {"x", "slot", "constant"} <= {*dir(subject), "x"},
        lambda: subject.__class__.__name__, lambda: isinstance(subject, base), lambda: bool(weakref.ref(subject)()),
        lambda: hasattr(subject, "nothing"), lambda: getattr(subject, "nothing", "default"),
        lambda: getattr(subject, 5),  # type: ignore[call-overload]
        lambda: in_thread(lambda: sorted(vars(subject))),
    ]  # fmt: skip
    return [outcome_of(step) for step in steps]


def test_attributes_behave_as_those_of_threading_local(local: Any) -> None:
    for ours, theirs in zip(protocol_steps(local), protocol_steps(threading.local), strict=True):
        assert repr(ours) == repr(theirs)


def test_a_missing_attribute_is_named(local: Any) -> None:
    class Mine(local):  # type: ignore[misc]
        pass

    with pytest.raises(AttributeError, match="'Mine' object has no attribute 'x'") as caught:
        _ = Mine().x
    assert caught.value.name == "x"
    with pytest.raises(AttributeError, match="'Mine' object has no attribute 'x'"):
        del Mine().x


def test_a_class_changed_later_counts_at_once(local: Any) -> None:
    class Mine(local):  # type: ignore[misc]
        pass

    mine = Mine()
    mine.x = "own"
    Mine.x = property(lambda _: "the class's")
    assert mine.x == "the class's"
    del Mine.x
    assert mine.x == "own"


class Sharing:
    """Any object, whose attributes are somebody else's dict."""


def write_as_an_attribute(values: dict[str, Any], value: Any) -> None:
    sharing = Sharing()
    sharing.__dict__ = values
    for _ in range(20):  # the interpreter learns how to write it without a look-up
        sharing.x = value - 1  # type: ignore[attr-defined]
        sharing.x = value  # type: ignore[attr-defined]


CHANGES: dict[str, Any] = {
    "an item set": lambda values, value: values.__setitem__("x", value),
    "update": lambda values, value: values.update(x=value),
    "|=": lambda values, value: values.__ior__({"x": value}),
    "del and setdefault": lambda values, value: (values.pop("x"), values.setdefault("x", value)),
    "popitem and an item set": lambda values, value: (values.popitem(), values.__setitem__("x", value)),
    "clear and update": lambda values, value: (values.clear(), values.update([("x", value)])),
    "exec": lambda values, value: exec("x = value", {"value": value}, values),
    "exec, as globals": lambda values, value: exec(f"x = {value}", values),
    "__init__": lambda values, value: values.__init__({"x": value}),
    "an object that shares it": write_as_an_attribute,
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_the_dict_counts_at_once_for_a_name_that_was_read_before(local: Any, change: str) -> None:
    instance = local()
    instance.y, instance.x = "other", 0
    for value in range(1, 50):
        assert instance.x == value - 1
        assert instance.x == value - 1
        CHANGES[change](vars(instance), value)
        assert instance.x == value
    values: Any = vars(instance)
    del values["x"]
    assert not hasattr(instance, "x")
    assert in_thread(lambda: hasattr(instance, "x")) is False


def test_a_name_that_was_read_in_one_thread_is_looked_up_in_another(local: Any) -> None:
    instance = local()
    for value in range(20):
        instance.x = value
        assert instance.x == value

        def other(value: int = value) -> list[Any]:
            seen = [getattr(instance, "x", None)]
            instance.x = -value
            return [*seen, instance.x, instance.x]

        assert in_thread(other) == [None, -value, -value]
        assert instance.x == value


def test_a_data_descriptor_of_a_kind_that_became_one_later_decides_at_once(local: Any) -> None:
    class Kind:
        def __get__(self, instance: Any, owner: Any) -> str:
            return "the class's"

    class Mine(local):  # type: ignore[misc]
        x = Kind()

    mine = Mine()
    mine.__dict__["x"] = "own"
    assert [mine.x, mine.x] == ["own", "own"]
    Kind.__set__ = lambda *_: None  # type: ignore[attr-defined]
    assert mine.x == "the class's"
    del Kind.__set__  # type: ignore[attr-defined]
    assert mine.x == "own"


# __init__ in every thread


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


# User code runs without a lock, and without a swap


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


# Foreign threads


@pytest.mark.parametrize("known_to_threading", [False, True], ids=["unknown", "with-a-dummy-thread"])
def test_a_foreign_thread_never_sees_a_dead_one_s_data_although_the_id_is_reused(
    local: Any, *, known_to_threading: bool
) -> None:
    instance = local()
    seen: dict[int, int] = {}

    def serve() -> Any:
        if known_to_threading:
            threading.current_thread()  # as logging does
        found = dict(vars(instance))
        instance.secret = "of this thread"
        seen[threading.get_ident()] = seen.get(threading.get_ident(), 0) + 1
        return found

    assert [in_foreign_thread(serve) for _ in range(50)] == [{}] * 50
    assert max(seen.values()) > 1, "no id was reused: this machine can't show it"


def test_foreign_threads_leave_no_entry_and_no_ghost(local: Any) -> None:
    instance = local()
    known_before = set(threading.enumerate())
    for _ in range(50):
        in_foreign_thread(lambda: setattr(instance, "x", 1))
    gc.collect()
    assert list(dicts_of(instance)) in ([], [id(threading.current_thread())])
    assert set(threading.enumerate()) <= known_before


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


# An id alone is not trusted


def test_an_entry_under_this_threads_id_counts_only_if_it_refers_to_this_thread(local: Any) -> None:
    instance = local()
    dead = Payload()
    for reference in (weakref.ref(dead), weakref.ref(Payload())):
        in_thread(lambda: vars(instance))  # so that this thread's dict has to be found anew
        dicts_of(instance)[id(threading.current_thread())] = (reference, {"x": "a dead thread's"})
        with pytest.raises(AttributeError):
            _ = instance.x
        instance.x = "mine"
        assert vars(instance) == {"x": "mine"}


def test_a_foreign_thread_is_not_known_by_a_dummy_thread_that_may_be_a_dead_ones(local: Any) -> None:
    instance = local()

    def look() -> Any:
        dummy = threading.current_thread()  # up to CPython 3.12.1 the one of the thread that had this id before
        dicts_of(instance)[id(dummy)] = (weakref.ref(dummy), {"x": "a dead thread's"})
        return getattr(instance, "x", "nothing")

    assert in_foreign_thread(look) == "nothing"


def test_the_death_of_one_local_does_not_make_a_thread_forget_another(local: Any) -> None:
    known = lifetime.current_lifetime().locals
    serials = []
    for _ in range(100):  # the memory of a dead one is soon used again, its number never
        instance = local()
        serials.append(instance._local__impl.serial)
        assert known[serials[-1]]() is instance._local__impl
        del instance
    assert len(set(serials)) == 100
    assert not set(serials) & set(known)


# Lifetimes


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
            raise ValueError  # noqa: TRY301
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
    known = lifetime.current_lifetime().locals
    before = len(known)
    for number in range(1000):
        in_thread(lambda number=number: setattr(instance, "x", number))  # type: ignore[misc]
        local().x = number
    gc.collect()
    assert len(dicts_of(instance)) == 1
    assert len(known) == before
    assert not lifetime._ending


def test_locals_and_threads_that_come_and_go_at_once_raise_nothing(local: Any) -> None:
    shared = [local() for _ in range(8)]
    failures: list[Any] = []

    def churn() -> None:
        try:
            for number in range(300):
                shared[number % 8].x = number
                assert shared[number % 8].x == number
                shared[(number + 3) % 8] = local()
        except BaseException as error:
            failures.append(error)

    hook, sys.unraisablehook = sys.unraisablehook, failures.append
    try:
        for _ in range(5):
            threads = [threading.Thread(target=churn) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(PATIENCE)
    finally:
        sys.unraisablehook = hook
    # Between a write and the read another thread may have put a new local in its place.
    assert [failure for failure in failures if not isinstance(failure, AttributeError)] == []


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


def test_a_thread_never_writes_to_the_dict_of_one_that_came_by_while_a_value_was_let_go(local: Any) -> None:
    instance = local()
    stored, dying, looked = threading.Event(), threading.Event(), threading.Event()

    class Slow:
        def __del__(self) -> None:
            dying.set()
            looked.wait(PATIENCE)

    def other() -> dict[str, Any]:
        instance.who = "other"
        stored.set()
        dying.wait(PATIENCE)
        assert instance.who == "other"
        looked.set()
        done.wait(PATIENCE)
        return dict(vars(instance))

    done = threading.Event()
    found: list[dict[str, Any]] = []
    thread = threading.Thread(target=lambda: found.append(other()))
    thread.start()
    assert stored.wait(PATIENCE)

    def leave_a_value_that_only_the_last_look_up_keeps() -> None:
        instance.slow = Slow()
        dicts_of(instance).pop(id(threading.current_thread()))

    leaving = threading.Thread(target=leave_a_value_that_only_the_last_look_up_keeps)
    leaving.start()
    leaving.join(PATIENCE)
    instance.who = "main"
    dying.set()
    done.set()
    thread.join(PATIENCE)
    assert (instance.who, found) == ("main", [{"who": "other"}])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_has_its_own_threads_values_only_also_when_another_was_inside_an_access() -> None:
    program = """
        import gc, os, threading, warnings, weakref
        import tlctx

        warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 warns of fork with threads, which is the point
        inside, release = threading.Event(), threading.Event()

        class Mine(tlctx.local):
            @property
            def slow(self):
                self.mine = Payload()
                payloads.append(weakref.ref(self.mine))
                inside.set()
                release.wait(60)

        class Payload: pass

        payloads = []
        mine = Mine()
        mine.x = "main"
        other = threading.Thread(target=lambda: mine.slow)
        other.start()
        inside.wait(60)
        child = os.fork()
        if child == 0:
            own = list(mine._local__impl.dicts) == [id(threading.current_thread())]
            kept = vars(mine) == {"x": "main"}
            thread = threading.Thread(target=lambda: print(own, kept, vars(mine), flush=True))
            thread.start()
            thread.join()
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        release.set()
        other.join()
        print(status, payloads[0]())
    """
    assert run_program(program) == "True True {}\n0 None\n"


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps], ids=["copy", "deepcopy", "pickle"])
def test_a_copy_is_a_type_error(local: Any, duplicate: Any) -> None:
    with pytest.raises(TypeError, match="can't be copied or pickled"):
        duplicate(local())


# Greenlets

GREENLETS = """
    import threading
    {before}
    import tlctx
    instance = tlctx.local()
    instance.x = "main"
    {after}
    import gevent
    wrong = []

    def serve(number):
        for step in range(3):
            if getattr(instance, "x", None) != (None if step == 0 else number):
                wrong.append(number)
            instance.x = number
            gevent.sleep(0)
            if step == 1:
                threading.current_thread()  # makes gevent's dummy for this greenlet, as logging does

    gevent.joinall([gevent.spawn(serve, number) for number in range(100)])
    thread = threading.Thread(target=serve, args=(1000,))
    thread.start()
    thread.join()
    gevent.sleep(0)
    print(wrong, instance.x, len(instance._local__impl.dicts))
"""
PATCH = "import gevent.monkey; gevent.monkey.patch_all()"


@pytest.mark.parametrize("order", ["before", "after"])
def test_greenlets_are_told_apart_whether_gevent_patches_before_or_after_the_import(order: str) -> None:
    program = GREENLETS.format(**{"before": "", "after": "", order: PATCH})
    assert run_program(program) == "[] main 1\n"


def test_a_greenlet_without_patching_is_part_of_its_thread() -> None:
    instance = tlctx.local()
    instance.x = "the thread's"
    assert greenlet.greenlet(lambda: instance.x).switch() == "the thread's"


# Errors


def test_an_error_says_what_was_being_handled_as_the_interpreters_own_local_does(local: Any) -> None:
    def contexts(kind: Any) -> list[tuple[Any, bool]]:
        mine, found = kind(), []
        for use in (lambda: mine.x, lambda: delattr(mine, "x")):
            try:
                try:
                    int("no number")
                except ValueError:
                    use()
            except AttributeError as error:
                found.append((type(error.__context__), error.__suppress_context__))
        return found

    assert contexts(local) == contexts(threading.local) == [(ValueError, False)] * 2


@pytest.mark.parametrize(
    ("instead", "kind"),
    [
        (lambda: None, TypeError),
        (lambda: 5, TypeError),
        (list, TypeError),
        (lambda: KeyError, KeyError),
        (Boom, Boom),
    ],
)
def test_a_hook_may_name_another_error_and_nothing_else(local: Any, instead: Any, kind: Any) -> None:
    class Named(local):  # type: ignore[misc]
        def _local__absent(self, error: AttributeError) -> Any:
            return instead()

    mine = Named()
    for use in (lambda: mine.x, lambda: delattr(mine, "x")):
        with pytest.raises(kind) as raised:
            use()
        assert type(raised.value.__context__) is AttributeError
        assert raised.value.__suppress_context__ is (kind is not TypeError)


def test_a_hook_that_raises_is_an_error_after_the_one_it_was_told_of(local: Any) -> None:
    class Raising(local):  # type: ignore[misc]
        def _local__absent(self, error: AttributeError) -> Any:
            raise Boom

    with pytest.raises(Boom) as raised:
        getattr(Raising(), "x")  # noqa: B009
    assert type(raised.value.__context__) is AttributeError


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
