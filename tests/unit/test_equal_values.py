"""Values that equal everything, and namespaces that equal each other: identity counts, where tlctx asks what one is."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Iterator
from typing import Any

import pytest

from tlctx import ContextMiddleware, RequestContext, RequestEndedError, Scope, per_request
from tlctx._core.copying import assigned_values
from tlctx._core.errors import OutsideRequestError
from tlctx.lowlevel import bound

METACLASS: Any = type(RequestContext)


class Equal:
    """Equals everything, as some mocks and matchers do."""

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False

    __hash__ = object.__hash__


EQUAL = Equal()


class Empty(RequestContext):
    """It has no values, so all its namespaces equal each other, and what has ended."""


class Made(RequestContext):
    @per_request
    def tags(self) -> list[str]:
        return []


def test_a_default_of_get_and_pop_may_equal_everything() -> None:
    ctx = Empty()
    assert ctx.get("user", EQUAL) is EQUAL  # where no request runs
    with ctx.scope():
        assert ctx.get("user", EQUAL) is EQUAL
        assert ctx.pop("user", EQUAL) is EQUAL


def test_an_annotation_may_equal_everything() -> None:
    kind: Any = METACLASS("Ctx", (RequestContext,), {"__annotations__": {"user": EQUAL}, "user": "ann"})
    assert list(kind._local__fields) == ["user"]
    ctx = kind()
    with ctx.scope():
        assert ctx.user == "ann"


def test_an_annotation_whose_origin_equals_everything_is_no_class_variable() -> None:
    annotations = {"user": types.GenericAlias(EQUAL, (int,))}  # type: ignore[arg-type]
    kind: Any = METACLASS("Ctx", (RequestContext,), {"__annotations__": annotations})
    assert list(kind._local__fields) == ["user"]


class Named:
    def __repr__(self) -> str:
        return "'typing.ClassVar'"


NAMED = Named()


def test_a_name_that_leads_to_what_equals_everything_is_no_class_variable() -> None:
    class Ctx(RequestContext):
        user: EQUAL  # type: ignore[valid-type]
        token: NAMED  # type: ignore[valid-type]

    assert list(Ctx._local__fields) == ["user", "token"]


def test_white_space_before_an_annotation_says_nothing() -> None:
    annotations = {"user": "  str", "kind": "  ClassVar[str]"}
    kind: Any = METACLASS("Ctx", (RequestContext,), {"__annotations__": annotations})
    assert list(kind._local__fields) == ["user"]


def test_a_method_can_not_be_hidden_by_what_equals_everything() -> None:
    with pytest.raises(TypeError, match="would hide the method"):
        METACLASS("Ctx", (RequestContext,), {"get": EQUAL})


def test_a_default_may_equal_everything() -> None:
    class Ctx(RequestContext):
        user: Any = dataclasses.field(default=EQUAL)

    ctx = Ctx()
    with ctx.scope():
        assert ctx.user is EQUAL


class EqualFactory(Equal):
    def __call__(self) -> str:
        return "made"


def test_a_factory_may_equal_everything() -> None:
    class Ctx(RequestContext):
        user: Any = dataclasses.field(default_factory=EqualFactory())

    ctx = Ctx()
    with ctx.scope():
        assert ctx.user == "made"


def test_an_assigned_value_that_equals_a_made_one_is_copied() -> None:
    ctx = Made()
    with ctx.scope() as scope:
        made = ctx.tags
        assert assigned_values(scope) == {}
        ctx.tags = []
        assert ctx.tags is not made
        assert assigned_values(scope) == {"tags": []}


def test_the_values_of_a_scope_that_has_ended_are_not_copied() -> None:
    with Made().scope() as scope:
        pass
    with pytest.raises(RequestEndedError, match="copying values"):
        assigned_values(scope)


def test_an_attribute_of_the_class_may_equal_everything() -> None:
    class Ctx(RequestContext, strict=True):
        user: str = "ann"

    Ctx.other = EQUAL  # type: ignore[attr-defined]
    ctx = Ctx()
    with ctx.scope():
        with pytest.raises(AttributeError, match="other is no field, so it can't be assigned"):
            ctx.other = 1  # type: ignore[attr-defined]
        with pytest.raises(AttributeError, match=r"has no value in .* that could be deleted"):
            del ctx.other  # type: ignore[attr-defined]


class EqualDescriptor(Equal):
    def __get__(self, instance: object, owner: object = None) -> str:
        return "given"


def test_a_descriptor_that_was_put_into_the_class_later_may_equal_everything() -> None:
    class Ctx(RequestContext, strict=True):
        user: str = "ann"

    Ctx.other = EqualDescriptor()  # type: ignore[attr-defined]
    ctx: Any = Ctx()
    with ctx.scope():
        ctx.other = 1
        assert vars(ctx)["other"] == 1


class Body:
    def __init__(self, ctx: Empty, seen: list[Scope | None]) -> None:
        self.ctx = ctx
        self.seen = seen

    def note(self) -> None:
        self.seen.append(Scope.current(self.ctx))

    def __iter__(self) -> Iterator[bytes]:
        self.note()
        return self.steps()

    def steps(self) -> Iterator[bytes]:
        self.note()
        yield b"x"

    def close(self) -> None:
        self.note()


def test_a_request_without_values_is_not_taken_for_one_that_has_ended() -> None:
    ctx = Empty()
    seen: list[Scope | None] = []
    served: Any = ContextMiddleware(lambda environ, start_response: Body(ctx, seen), ctx)(
        {"REQUEST_METHOD": "GET", "PATH_INFO": "/"}, lambda *_: lambda data: None
    )
    assert list(served) == [b"x"]
    served.close()
    assert len(seen) == 3
    assert None not in seen
    assert len(set(seen)) == 1


def test_a_scope_without_values_gives_the_thread_back_to_another_one() -> None:
    ctx = Empty()
    inner = Scope(ctx)
    with ctx.scope() as outer:
        for _ in range(2):
            assert inner.run(Scope.current, ctx) is inner
            assert Scope.current(ctx) is outer
            with bound(inner):
                assert Scope.current(ctx) is inner
            assert Scope.current(ctx) is outer
    assert Scope.current(ctx) is None
    inner.close()
    with pytest.raises(RequestEndedError, match="binding a scope"):
        inner.run(int)


def test_what_was_bound_without_values_is_unbound() -> None:
    ctx = Empty()
    scope = Scope(ctx)
    scope.run(int)
    with bound(scope):
        pass
    with pytest.raises(OutsideRequestError):
        ctx.user  # type: ignore[attr-defined]  # noqa: B018
    scope.close()


def test_a_block_may_be_left_twice() -> None:
    ctx = Empty()
    scope = Scope(ctx)
    block = bound(scope)
    with block:
        pass
    with ctx.scope() as outer:
        block.__exit__(None, None, None)
        assert Scope.current(ctx) is outer
    scope.close()
