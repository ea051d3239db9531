"""RequestContext: nothing hides a method that every context has, unless it is an override."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from tlctx import RequestContext, Scope, per_request

if TYPE_CHECKING:
    from decimal import Decimal as Missing

METHODS = ["get", "pop", "setdefault", "scope", "enter_context", "callback"]


class Inside:
    pass


HIDING: dict[str, Callable[[], Any]] = {
    "a value": lambda: 5,
    "None": lambda: None,
    "a property": lambda: property(lambda self: 5),
    "a per_request": lambda: per_request(lambda self: 5),
    "a cached property": lambda: functools.cached_property(lambda self: 5),
    "a class": lambda: Inside,
}
ACCIDENTS: dict[str, Callable[[], Any]] = {
    "a method without arguments": lambda: lambda self: 5,
    "a method with others": lambda: lambda self, a, b, c, d: 5,
    "a class method without arguments": lambda: classmethod(lambda cls: 5),
    "a static method without arguments": lambda: staticmethod(lambda: 5),
    "a decorated method without arguments": lambda: functools.lru_cache(lambda self: 5),
}


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("kind", HIDING)
@pytest.mark.parametrize("where", ["own", "mixin"])
def test_what_is_no_method_does_not_hide_one_of_ours(name: str, kind: str, where: str) -> None:
    body = {name: HIDING[kind]()}
    with pytest.raises(TypeError, match=f"^'{name}' of Bad would hide the method of that name: choose another$"):
        if where == "own":
            type("Bad", (RequestContext,), body)
        else:
            type("Bad", (type("Mixin", (), body), RequestContext), {})


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("kind", ACCIDENTS)
@pytest.mark.parametrize("where", ["own", "mixin"])
def test_a_method_that_can_not_be_called_as_ours_does_not_hide_it_either(name: str, kind: str, where: str) -> None:
    if name == "scope" and kind == "a static method without arguments":
        kind = "a class method without arguments"
    body = {name: ACCIDENTS[kind]()}
    with pytest.raises(TypeError, match=rf"^Bad\.{name}\(\) would hide the method {name}\(\) of RequestContext, and"):
        if where == "own":
            type("Bad", (RequestContext,), body)
        else:
            type("Bad", (type("Mixin", (), body), RequestContext), {})


def test_one_that_takes_the_same_arguments_is_an_override() -> None:
    class Mine(RequestContext):
        user: str = "nobody"

        def get(self, key: str, fallback: Missing | None = None) -> Any:
            return f"got {super().get(key, fallback)}"

        def scope(self, **values: Any) -> Scope:
            return super().scope(**{"user": "ann", **values})

        def callback(self, *args: Any, **kwargs: Any) -> Any:
            return super().callback(*args, **kwargs)

        @staticmethod
        def pop(name: str, default: Any = None) -> Any:
            return "popped"

        @classmethod
        def setdefault(cls, name: str, default: Any = None) -> Any:
            return "set"

    mine = Mine()
    with mine.scope():
        assert mine.get("user") == "got ann"
        assert mine.get("other", 5) == "got 5"  # type: ignore[arg-type]
        assert (mine.pop("user"), mine.setdefault("user")) == ("popped", "set")
        with pytest.raises(AttributeError, match="is a method and can't be assigned"):
            mine.get = 1  # type: ignore[assignment,method-assign]


def test_one_from_a_mixin_may_be_an_override_and_one_that_tells_nothing_of_its_arguments_is_taken_for_one() -> None:
    class Mixin:
        def get(self, name: str, default: Any = None) -> Any:
            return "the mixin's"

        pop = functools.partialmethod(get)

    class Mine(Mixin, RequestContext):
        pass

    mine: Any = Mine()
    assert mine.get("user") == mine.pop("user") == "the mixin's"


def test_the_names_of_private_helpers_are_free() -> None:
    class Mine(RequestContext):
        _scope: str = "a value"

        @per_request
        def made(self) -> int:
            self.callback(print, end="")
            return 1

    mine = Mine()
    with mine.scope():
        assert (mine._scope, mine.made) == ("a value", 1)
