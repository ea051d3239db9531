"""`local`: what its class has, and when that changes."""

from __future__ import annotations

from typing import Any

import pytest
from support.helpers import Boom


def test_a_class_changed_later_counts_at_once(local: Any) -> None:
    class Mine(local):  # type: ignore[misc]
        pass

    mine = Mine()
    mine.x = "own"
    Mine.x = property(lambda _: "the class's")
    assert mine.x == "the class's"
    del Mine.x
    assert mine.x == "own"


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


class Decides:
    """A data descriptor."""

    def __get__(self, instance: Any, owner: Any) -> str:
        return "the class's"

    def __set__(self, instance: Any, value: Any) -> None:
        raise Boom


class DoesNotDecide:
    def __get__(self, instance: Any, owner: Any) -> str:
        return "the class's"


def put_on_the_class(mine: Any, base: Any) -> None:
    type(mine).x = Decides()


def put_on_the_base(mine: Any, base: Any) -> None:
    base.x = Decides()


def exchange_the_base(mine: Any, base: Any) -> None:
    other = type("Other", base.__bases__, {"x": Decides()})
    type(mine).__bases__ = (other,)


BECOMES = [put_on_the_class, put_on_the_base, exchange_the_base]


def decides_for(use: str, mine: Any) -> bool:
    if use == "read":
        return bool(mine.x == "the class's")
    try:
        mine.x = "own"
    except Boom:
        return True
    return False


@pytest.mark.parametrize("use", ["read", "write"])
@pytest.mark.parametrize("change", BECOMES)
def test_a_data_descriptor_that_comes_later_decides_at_once(local: Any, change: Any, use: str) -> None:
    class Base(local):  # type: ignore[misc]
        pass

    class Mine(Base):
        pass

    mine = Mine()
    mine.x = "own"
    assert not decides_for(use, mine)
    assert not decides_for(use, mine)
    change(mine, Base)
    assert decides_for(use, mine)


@pytest.mark.parametrize("use", ["read", "write"])
def test_a_descriptor_whose_class_is_exchanged_decides_at_once(local: Any, use: str) -> None:
    descriptor: Any = DoesNotDecide()
    mine = type("Mine", (local,), {"x": descriptor})()
    mine.x = "own"
    assert not decides_for(use, mine)
    assert not decides_for(use, mine)
    descriptor.__class__ = Decides
    assert decides_for(use, mine)


def test_each_class_decides_for_itself_about_a_name(local: Any) -> None:
    for _ in range(50):
        plain, guarded = type("Plain", (local,), {})(), type("Guarded", (local,), {"x": Decides()})()
        plain.x = "own"
        vars(guarded)["x"] = "own"
        assert [plain.x, guarded.x, plain.x, guarded.x] == ["own", "the class's", "own", "the class's"]


USES: dict[str, Any] = {
    "read": lambda mine: mine.x,
    "write": lambda mine: setattr(mine, "x", "own"),
    "delete": lambda mine: delattr(mine, "x"),
}


class EqualClasses(type):
    __hash__ = type.__hash__

    def __eq__(cls, other: object) -> bool:
        return True


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("kind", [type, EqualClasses], ids=["another-class", "a-class-equal-to-the-one-before"])
def test_an_exchanged_class_counts_at_once(local: Any, use: str, kind: Any) -> None:
    class First(local, metaclass=kind):  # type: ignore[misc,metaclass]
        pass

    class Second(local, metaclass=kind):  # type: ignore[misc,metaclass]
        @property
        def x(self) -> Any:
            raise Boom

    mine = First()
    mine.x = "own"
    assert mine.x == "own"
    mine.__class__ = Second
    with pytest.raises((Boom, AttributeError)):
        USES[use](mine)
    assert vars(mine) == {"x": "own"}
