"""Names and options at the edge of what a context's class takes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest

from tlctx import RequestContext, per_request

METACLASS: Any = type(RequestContext)


class Strict(RequestContext, strict=True):
    @per_request
    def connection(self) -> int:
        return 1


def test_a_name_that_sorts_before_others_is_a_name_like_any() -> None:
    ctx = RequestContext()
    with ctx.scope():
        assert ctx.setdefault("USER", "ann") == "ann"
        assert ctx.setdefault("1", "one") == "one"


def test_a_strict_context_suggests_a_per_request_that_has_a_similar_name() -> None:
    ctx: Any = Strict()
    with ctx.scope(), pytest.raises(AttributeError, match="did you mean 'connection'"):
        ctx.conection = 2


def test_an_option_of_a_field_may_say_what_it_says_anyway() -> None:
    class Ctx(RequestContext):
        user: str = dataclasses.field(default="ann", metadata={})

    ctx = Ctx()
    with ctx.scope():
        assert ctx.user == "ann"


class Untold:
    """A callable that tells nobody what it takes."""

    def __init__(self, error: type[Exception]) -> None:
        self.error = error

    @property
    def __signature__(self) -> Any:
        raise self.error

    def __call__(self, *args: Any) -> str:
        return "called"


@pytest.mark.parametrize("error", [NameError, TypeError, ValueError])
def test_a_method_may_be_overridden_by_what_tells_nobody_what_it_takes(error: type[Exception]) -> None:
    cls: Any = METACLASS("Ctx", (RequestContext,), {"get": staticmethod(Untold(error))})
    assert cls().get("user") == "called"


class Resource:
    """Somebody's class, whose instances equal everything and whose error is worded as contextlib's."""

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = object.__hash__

    def fail(self) -> None:
        raise RuntimeError("generator didn't like it")


class Failing(RequestContext):
    @per_request
    def value(self) -> Iterator[int]:
        Resource().fail()
        yield 1


def test_an_error_of_the_code_of_a_per_request_is_left_as_it_is() -> None:
    ctx = Failing()
    with ctx.scope(), pytest.raises(RuntimeError, match=r"^generator didn't like it$"):
        ctx.value  # noqa: B018
