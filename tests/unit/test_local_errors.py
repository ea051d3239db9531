"""`local`: what its errors say, and what a hook makes of them."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from support.helpers import Boom


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
        def _local__attribute_error(self, error: AttributeError) -> Any:
            return instead()

    mine = Named()
    for use in (lambda: mine.x, lambda: delattr(mine, "x")):
        with pytest.raises(kind) as raised:
            use()
        assert type(raised.value.__context__) is AttributeError
        assert raised.value.__suppress_context__ is (kind is not TypeError)


def test_a_hook_that_raises_is_an_error_after_the_one_it_was_told_of(local: Any) -> None:
    class Raising(local):  # type: ignore[misc]
        def _local__attribute_error(self, error: AttributeError) -> Any:
            raise Boom

    with pytest.raises(Boom) as raised:
        getattr(Raising(), "x")  # noqa: B009
    assert type(raised.value.__context__) is AttributeError


def test_an_attribute_error_of_a_propertys_own_code_is_not_taken_for_a_missing_name(local: Any) -> None:
    class Kept(local):  # type: ignore[misc]
        def _local__attribute_error(self, error: AttributeError) -> Any:
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


def test_a_missing_name_is_told_by_its_text(local: Any) -> None:
    class Kept(local):  # type: ignore[misc]
        def _local__attribute_error(self, error: AttributeError) -> Any:
            return Boom(error.name)

        @property
        def gone(self) -> Any:
            raise AttributeError("as if there were none", name="".join(["go", "ne"]), obj=self)

    with pytest.raises(Boom, match="gone"):
        _ = Kept().gone
