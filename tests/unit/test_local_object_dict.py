"""`local`: what goes past it, as `object.__setattr__` does, is never shared between threads."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Callable
from typing import Any

import pytest
from support.helpers import in_thread

from tlctx import RequestContext


def past(instance: Any, name: str, value: Any) -> bool:
    """Whether this write past the local, as the `__init__` of a frozen data class does it, is refused at once."""
    try:
        object.__setattr__(instance, name, value)
    except (AttributeError, TypeError):
        return True
    return False


def into_object_dict(instance: Any, name: str, value: Any) -> bool:
    try:
        object.__getattribute__(instance, "__dict__")[name] = value
    except (AttributeError, TypeError):
        return True
    return False


def subclass(base: Any, **names: Any) -> Any:
    return type("Mine", (base,), names)()


WAYS = [past, into_object_dict]


@pytest.mark.parametrize("write", WAYS)
def test_no_thread_sees_what_was_written_past_the_local(local: Any, write: Any, implementation: str) -> None:
    mine = subclass(local)
    refused = write(mine, "secret", "main's")
    assert refused is (implementation == "c")  # in Python it is refused where it is read
    looks: list[Callable[[], bool]] = [
        lambda: hasattr(mine, "secret"),
        lambda: "secret" in vars(mine),
        lambda: "secret" in dir(mine),
    ]
    for look in looks:
        assert not look()
        assert not in_thread(look)
    with pytest.raises(AttributeError, match="secret"):
        _ = mine.secret


@pytest.mark.parametrize("write", WAYS)
def test_a_value_that_was_assigned_stands_whatever_is_written_past_it(local: Any, write: Any) -> None:
    mine = subclass(local)
    mine.x = "assigned"
    write(mine, "x", "past")
    assert mine.x == "assigned"
    mine.y = 1
    assert vars(mine) == {"x": "assigned", "y": 1}
    assert in_thread(lambda: vars(mine)) == {}


def test_what_was_written_past_a_local_is_told_and_not_taken_for_a_value_of_the_class(
    local: Any, implementation: str
) -> None:
    mine = subclass(local, x="the class's", computed=property(lambda _: "computed"))
    if past(mine, "x", "past"):
        assert mine.x == "the class's"
    else:
        with pytest.raises(AttributeError, match=r"'x' was written past the local, by object\.__setattr__"):
            _ = mine.x
    into_object_dict(mine, "computed", "past")
    assert mine.computed == "computed"


def test_a_plain_local_and_a_class_with_slots_have_no_dict_to_write_to(local: Any) -> None:
    for instance in (local(), subclass(local, __slots__=())):
        assert past(instance, "x", 1)
        assert into_object_dict(instance, "x", 1)
        assert not hasattr(instance, "x")


def test_a_frozen_data_class_is_refused_when_an_object_of_it_is_made(local: Any) -> None:
    @dataclasses.dataclass(frozen=True)
    class Frozen(local):  # type: ignore[misc]
        user: str = "nobody"

    with pytest.raises((AttributeError, TypeError)):
        Frozen("ann")


def test_other_data_classes_have_values_in_each_thread(local: Any) -> None:
    @dataclasses.dataclass
    class Plain(local):  # type: ignore[misc]
        user: str

    @dataclasses.dataclass(frozen=True)
    class Empty(local):  # type: ignore[misc]
        pass

    plain = Plain("ann")
    plain.user = "ben"
    assert (plain.user, in_thread(lambda: plain.user), dict(vars(Empty()))) == ("ben", "ann", {})


@pytest.mark.parametrize("name", ["declared", "other"])
@pytest.mark.parametrize("write", WAYS)
def test_no_request_sees_what_another_wrote_past_the_context(write: Any, name: str) -> None:
    class Ctx(RequestContext):
        declared: str

    ctx: Any = Ctx()
    with ctx.scope():
        write(ctx, name, "ann")
        assert not hasattr(ctx, name)
    with ctx.scope():
        assert getattr(ctx, name, None) is None
        setattr(ctx, name, "ben")
        assert getattr(ctx, name) == "ben"
    assert not hasattr(ctx, name)


def test_a_class_that_is_exchanged_is_refused_as_with_threading_local(local: Any) -> None:
    def outcomes(base: Any) -> list[Any]:
        class First(base):  # type: ignore[misc]
            pass

        class Below(First):
            pass

        class Second(base):  # type: ignore[misc]
            pass

        class Bare(base):  # type: ignore[misc]
            __slots__ = ()

        class Slotted(base):  # type: ignore[misc]
            __slots__ = ("x",)

        class BelowBare(Bare):
            pass

        kinds, found = [First, Below, Second, Bare, Slotted, BelowBare], []
        for one in kinds:
            for other in kinds:
                instance = one()
                with contextlib.suppress(TypeError):
                    instance.__class__ = other
                found.append((one.__name__, other.__name__, type(instance) is other))
        return found

    theirs = outcomes(threading.local)
    assert [kept for _, _, kept in outcomes(local)] == [kept for _, _, kept in theirs]
    assert {kept for _, _, kept in theirs} == {True, False}


def test_a_class_that_is_used_before_it_is_complete_is_as_any_other(local: Any) -> None:
    class Early:
        def __set_name__(self, owner: Any, name: str) -> None:
            owner.first = owner()
            owner.first.x = 1

    class Mine(local):  # type: ignore[misc]
        early = Early()

        def __init_subclass__(cls) -> None:
            pass  # and no call of the local's own

    class Below(Mine):
        pass

    instances = [Mine.first, Mine(), Below()]
    for instance in instances:
        instance.y = 2
        past(instance, "z", 3)
        assert not hasattr(instance, "z")
    assert [vars(instance) for instance in instances] == [{"x": 1, "y": 2}, {"y": 2}, {"y": 2}]


def test_the_hooks_of_other_bases_learn_of_a_subclass(local: Any) -> None:
    class Told:
        def __init_subclass__(cls, **keywords: Any) -> None:
            told.append((cls.__name__, keywords))

    told: list[Any] = []

    class First(local, Told, word=1):  # type: ignore[misc]
        pass

    class Second(First, Told):
        pass

    assert told == [("First", {"word": 1}), ("Second", {})]
    with pytest.raises(TypeError, match="__init_subclass__"):
        type("Mine", (local,), {}, word=1)
    First.x, second = 1, Second()
    assert second.x == 1


def test_bases_may_be_exchanged_whether_they_have_objects_or_not(local: Any) -> None:
    class First(local):  # type: ignore[misc]
        x = "first"

    class Second(local):  # type: ignore[misc]
        x = "second"

    class Mine(First):
        pass

    mine = Mine(), First()
    Mine.__bases__ = (Second,)
    assert mine[0].x == "second"
    mine[0].x = "own"
    assert vars(mine[0]) == {"x": "own"}
