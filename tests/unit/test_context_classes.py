"""RequestContext: what its subclasses may have, as any class: mixins, properties, classes inside, annotations."""

from __future__ import annotations

import inspect
from typing import Any, ClassVar

import pytest
from support.contexts import Ctx, UserCtx

from tlctx import RequestContext


class EqualToAll:
    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False

    def __hash__(self) -> int:
        return 0


def test_a_default_that_claims_to_be_equal_to_all_is_a_default() -> None:
    class Mine(RequestContext):
        anything: EqualToAll = EqualToAll()

    mine = Mine()
    with mine.scope():
        assert type(mine.anything) is EqualToAll
    assert type(Mine.anything) is EqualToAll


def test_a_field_that_is_declared_again_without_a_value_keeps_its_default() -> None:
    class Narrowed(UserCtx):
        user: str

    narrowed = Narrowed()
    with narrowed.scope():
        assert narrowed.user == "nobody"


@pytest.mark.parametrize("annotation", [ClassVar, ClassVar[list[int]]], ids=["bare", "of a type"])
def test_a_class_variable_is_no_field_also_where_annotations_are_no_strings(annotation: Any) -> None:
    shared: list[int] = []
    cls: Any = type("Mine", (RequestContext,), {"__annotations__": {"shared": annotation}, "shared": shared})
    mine = cls()
    with mine.scope():
        assert list(mine) == []
        assert mine.shared is shared


def test_a_property_may_have_a_setter() -> None:
    class Mine(RequestContext):
        user: str = "nobody"

        @property
        def title(self) -> str:
            return self.user.title()

        @title.setter
        def title(self, value: str) -> None:
            self.user = value.lower()

    mine = Mine()
    with mine.scope():
        mine.title = "ANN"
        assert (mine.user, mine.title) == ("ann", "Ann")


def test_a_class_inside_the_class_is_left_as_it_is() -> None:
    class Mine(RequestContext):
        class Inside:
            pass

    assert isinstance(Mine.Inside(), Mine().Inside)


def test_a_guarded_method_has_the_docstring_of_the_method() -> None:
    class Mine(RequestContext):
        def greeting(self) -> str:
            """What the page begins with."""
            return "Hello"

    assert inspect.getattr_static(Mine, "greeting").__doc__ == "What the page begins with."


def test_an_init_keeps_its_signature_and_docstring_however_many_contexts_are_made() -> None:
    class Mine(RequestContext):
        def __init__(self, first: int) -> None:
            """Begin with `first`."""
            self.first = first

    Mine(1)
    init = Mine.__init__
    assert list(inspect.signature(init).parameters) == ["self", "first"]
    assert init.__doc__ == "Begin with `first`."
    Mine(2)
    assert Mine.__init__ is init


def test_a_mixin_learns_of_the_subclass_and_its_keywords() -> None:
    class Mixin:
        def __init_subclass__(cls, *, tag: str, **kwargs: Any) -> None:
            super().__init_subclass__(**kwargs)
            tags.append(tag)

    tags: list[str] = []

    class Mine(RequestContext, Mixin, tag="mine"):
        pass

    assert tags == ["mine"]
    with pytest.raises(TypeError):
        type("Wrong", (Ctx,), {}, tag="unknown")
