"""`local`: what its errors say, and what a hook makes of them."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from support.helpers import Boom, dicts_of, in_thread

from tlctx._core.threads import current_record


class EqualToAll(Exception):
    """An error that takes itself for any other, as one of a data class may."""

    __hash__ = Exception.__hash__

    def __eq__(self, other: object) -> bool:
        return True


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
        (KeyboardInterrupt, KeyboardInterrupt),
        (lambda: EqualToAll("name"), EqualToAll),
        (Boom, Boom),
    ],
)
def test_a_hook_may_name_another_error_and_nothing_else(local: Any, instead: Any, kind: Any) -> None:
    class Named(local):  # type: ignore[misc]
        def _local__attribute_error(self, error: AttributeError, values: Any) -> Any:
            return instead()

    mine = Named()
    for use in (lambda: mine.x, lambda: delattr(mine, "x")):
        with pytest.raises(kind) as raised:
            use()
        assert type(raised.value.__context__) is AttributeError
        assert raised.value.__suppress_context__ is (kind is not TypeError)


def test_a_hook_that_raises_is_an_error_after_the_one_it_was_told_of(local: Any) -> None:
    class Raising(local):  # type: ignore[misc]
        def _local__attribute_error(self, error: AttributeError, values: Any) -> Any:
            raise Boom

    with pytest.raises(Boom) as raised:
        getattr(Raising(), "x")  # noqa: B009
    assert type(raised.value.__context__) is AttributeError


def test_an_attribute_error_of_a_propertys_own_code_is_not_taken_for_a_missing_name(local: Any) -> None:
    class Kept(local):  # type: ignore[misc]
        def _local__attribute_error(self, error: AttributeError, values: Any) -> Any:
            asked.append(error.name)
            return Boom(error.name)

        @property
        def bare(self) -> Any:
            raise AttributeError("bare")

        @property
        def of_another(self) -> Any:
            raise AttributeError("of another", name="of_another", obj=object())

        @property
        def of_another_name(self) -> Any:
            raise AttributeError("of another name", name="another", obj=self)

        @property
        def of_a_name_further_on(self) -> Any:
            raise AttributeError("of a name further on", name="other", obj=self)

        @property
        def of_an_equal(self) -> Any:
            raise AttributeError("of an equal", name="of_an_equal", obj=EqualToAll())

        @property
        def misspelt(self) -> Any:
            return self.mispelt

    asked: list[Any] = []
    mine = Kept()
    for name in ("bare", "of_another", "of_another_name", "of_a_name_further_on", "of_an_equal"):
        with pytest.raises(AttributeError, match=name.replace("_", " ")):
            getattr(mine, name)
    assert asked == []
    with pytest.raises(Boom, match="mispelt"):
        _ = mine.misspelt
    assert asked == ["mispelt"]


@pytest.mark.parametrize("attribute", ["obj", "name"])
def test_an_attribute_error_that_can_not_be_asked_what_it_is_about_goes_on_as_it_is(local: Any, attribute: str) -> None:
    class Odd(AttributeError):
        def __init__(self, text: str, obj: object) -> None:
            super().__init__(text, name="computed", obj=obj)

        def __getattribute__(self, name: str) -> Any:
            if name == attribute and armed:
                raise ZeroDivisionError
            return super().__getattribute__(name)

    class Kept(local):  # type: ignore[misc]
        def _local__attribute_error(self, error: AttributeError, values: Any) -> Any:
            return Boom("asked")

        @property
        def computed(self) -> Any:
            raise Odd("mine", self)

    mine, armed = Kept(), [True]
    try:
        for _ in range(3):
            with pytest.raises(Odd, match="mine"):
                _ = mine.computed
        assert hasattr(mine, "computed") is False
    finally:
        armed.clear()  # or pytest couldn't show what failed


def test_what_ends_the_program_is_not_lost_where_an_attribute_error_is_asked_what_it_is_about(local: Any) -> None:
    class Odd(AttributeError):
        @property
        def obj(self) -> Any:  # type: ignore[override]
            raise KeyboardInterrupt

    class Kept(local):  # type: ignore[misc]
        def _local__attribute_error(self, error: AttributeError, values: Any) -> Any:
            return Boom("asked")

        @property
        def computed(self) -> Any:
            raise Odd("mine")

    with pytest.raises(KeyboardInterrupt) as raised:
        _ = Kept().computed
    assert type(raised.value.__context__) is Odd


def test_an_error_of_a_key_in_the_map_goes_on_and_leaves_nothing_behind(local: Any) -> None:
    class Key:
        def __init__(self, like: int) -> None:
            self.like = like
            self.compared = 0

        def __hash__(self) -> int:
            return hash(self.like)

        def __eq__(self, other: object) -> bool:
            self.compared += 1
            if self.compared == 1:
                raise ZeroDivisionError
            return False

    def use() -> Any:
        key: Any = Key(current_record().key)
        dicts[key] = (None, {})
        seen = []
        for _ in range(3):
            try:
                seen.append(getattr(instance, "x", "nothing"))
            except ZeroDivisionError:
                seen.append("raised")
        return seen

    instance = local()
    dicts = dicts_of(instance)
    assert in_thread(use) == ["raised", "nothing", "nothing"]


def test_a_missing_name_is_told_by_its_text(local: Any) -> None:
    class Kept(local):  # type: ignore[misc]
        def _local__attribute_error(self, error: AttributeError, values: Any) -> Any:
            return Boom(error.name)

        @property
        def gone(self) -> Any:
            raise AttributeError("as if there were none", name="".join(["go", "ne"]), obj=self)

    with pytest.raises(Boom, match="gone"):
        _ = Kept().gone
