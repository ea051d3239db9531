"""`local`: attributes behave as those of `threading.local`, and a change counts at once."""

from __future__ import annotations

import threading
import weakref
from typing import Any

import pytest
from support.helpers import Boom, OnlyDeletes, OnlySets, Sharing, in_thread, raise_boom


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


class EqualToAll:
    """A value that takes itself for any other, as arrays and mocks may."""

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return True


def test_a_value_that_is_equal_to_everything_is_read_as_any_other(local: Any) -> None:
    instance = local()
    value = instance.x = EqualToAll()
    assert instance.x is value


@pytest.mark.parametrize("name", ["__class__", "__dict__", "_local__impl"])
def test_what_every_object_has_comes_before_the_dict(local: Any, name: str) -> None:
    instance = local()
    before = getattr(instance, name)
    before_in_dict = vars(instance)[name] = "in the dict"
    found = getattr(instance, name)
    assert found is before
    assert found is not before_in_dict


@pytest.mark.parametrize("name", ["X", "__a__", "__dict", "__dict__x", "x"])
def test_a_name_is_deleted_wherever_it_would_be_in_the_alphabet(local: Any, name: str) -> None:
    instance = local()
    setattr(instance, name, 1)
    delattr(instance, name)
    assert vars(instance) == {}


def test_a_data_descriptor_in_the_place_of_something_of_the_locals_own_decides(local: Any) -> None:
    class Mine(local):  # type: ignore[misc]
        __reduce_ex__ = property(raise_boom)

    mine = Mine()
    values: Any = vars(mine)
    values["__reduce_ex__"] = "in the dict"
    with pytest.raises(Boom):
        _ = mine.__reduce_ex__
    with pytest.raises(AttributeError):
        setattr(mine, "__reduce_ex__", 1)  # noqa: B010
    assert values == {"__reduce_ex__": "in the dict"}


def test_the_weak_references_to_an_object_are_not_an_attribute_as_on_the_interpreters_own_local(local: Any) -> None:
    class Mine(local):  # type: ignore[misc]
        pass

    class Bare(local):  # type: ignore[misc]
        __slots__ = ()

    for cls in (threading.local, local, Mine, Bare):
        instance: Any = cls()
        assert weakref.ref(instance)() is instance
        assert not hasattr(cls, "__weakref__")
        with pytest.raises(AttributeError, match="has no attribute '__weakref__'"):
            getattr(instance, "__weakref__")  # noqa: B009  # which mypy takes for an attribute of every object
