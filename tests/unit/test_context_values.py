"""RequestContext: `pop` and `setdefault`, and what the errors say about a name that has no value."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest
from support.contexts import Ctx, MadeCtx

import tlctx
from tlctx import OutsideRequestError, RequestContext, RequestEndedError, Scope, per_request
from tlctx._core.fields import Field


@pytest.fixture
def ctx() -> Ctx:
    return Ctx()


# pop and setdefault


def test_pop_takes_the_value_away_as_on_flask_g(ctx: Ctx) -> None:
    with ctx.scope(user="ann"):
        assert ctx.pop("user") == "ann"
        assert "user" not in ctx
        assert ctx.pop("user", None) is None
        assert ctx.pop("user", "d") == "d"
        with pytest.raises(KeyError, match="user"):
            ctx.pop("user")


def test_pop_makes_no_per_request_value_and_what_one_opened_is_closed_at_the_end() -> None:
    log: list[str] = []

    class Mine(RequestContext):
        @per_request
        def db(self) -> Iterator[str]:
            log.append("opened")
            yield "db"
            log.append("closed")

    mine = Mine()
    with mine.scope():
        assert mine.pop("db", None) is None
        assert log == []
        assert mine.db == mine.pop("db") == "db"
        assert log == ["opened"]
    assert log == ["opened", "closed"]


def test_setdefault_sets_what_has_no_value_and_leaves_what_has_one_as_on_flask_g(ctx: Ctx) -> None:
    with ctx.scope():
        assert ctx.setdefault("user", "ann") is None
        assert ctx.setdefault("request_id", "r1") == "r1"
        assert ctx.setdefault("request_id", "r2") == ctx.request_id == "r1"
        assert ctx.setdefault("undeclared") is None
        assert dict(vars(ctx)) == {"user": None, "request_id": "r1", "undeclared": None}


def test_setdefault_makes_no_per_request_value() -> None:
    made = MadeCtx()
    with made.scope():
        assert made.setdefault("made", 5) == made.made == 5


class Guarded(Ctx):
    @property
    def title(self) -> str:
        return "Ms"

    @title.setter
    def title(self, value: str) -> None:
        raise AssertionError("it has a value already")


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("get", AttributeError, "is a method and can't be assigned"),
        ("greeting", AttributeError, "is a method and can't be assigned"),
        ("title", AttributeError, r"Guarded\.title is no plain value"),
        ("__class__", AttributeError, r"Guarded\.__class__ is no plain value"),
        ("__dict__", AttributeError, r"Guarded\.__dict__ is no plain value"),
        (5, TypeError, "attribute name must be string, not 'int'"),
    ],
)
def test_setdefault_refuses_what_an_assignment_would_not_put_among_the_values(
    name: Any, error: type[Exception], message: str
) -> None:
    guarded = Guarded()
    with guarded.scope():
        with pytest.raises(error, match=message):
            guarded.setdefault(name, "x")
        assert list(guarded) == ["user"]


def test_setdefault_takes_no_place_of_dict_on_a_class_that_has_none() -> None:
    bare = RequestContext()
    with bare.scope(), pytest.raises(AttributeError, match="is no plain value"):
        bare.setdefault("__dict__", {})


# What an error says


def test_a_method_is_never_meant_by_a_name_that_is_missing(ctx: Ctx) -> None:
    with ctx.scope():
        for name in ("score", "calback", "greetin", "gett", "pops", "setdefaul"):
            with pytest.raises(AttributeError, match=f"Ctx has no '{name}' in scope #.*: assign it before") as caught:
                getattr(ctx, name)
            assert "did you mean" not in str(caught.value)
        with pytest.raises(AttributeError, match=r"in the class\. The method callback\(\) has a similar name$"):
            _ = ctx.calback  # type: ignore[attr-defined]
        with pytest.raises(AttributeError, match=r"or declare it in the class$"):
            _ = ctx.score  # type: ignore[attr-defined]


def test_a_method_of_a_mixin_is_never_meant_either() -> None:
    class Mixin:
        def shout(self) -> str:
            return "!"

        @staticmethod
        def shouts() -> str:
            return "!!"

    class Mine(Mixin, RequestContext):
        pass

    mine: Any = Mine()
    with mine.scope(), pytest.raises(AttributeError, match="assign it before it is read") as caught:
        _ = mine.shoutz
    assert "did you mean" not in str(caught.value)


def test_a_key_that_is_no_name_is_left_out_of_what_may_be_meant(ctx: Ctx) -> None:
    five: Any = 5
    with ctx.scope():
        vars(ctx)[five] = 5
        with pytest.raises(AttributeError, match="did you mean 'user'"):
            _ = ctx.usr  # type: ignore[attr-defined]


@pytest.mark.parametrize("context", [tlctx.ctx, RequestContext()], ids=["tlctx.ctx", "RequestContext()"])
def test_where_nothing_is_declared_nobody_is_told_to_declare(context: Any) -> None:
    with context.scope(), pytest.raises(AttributeError, match=r"has no 'user' in scope .*: assign it before") as caught:
        _ = context.user
    assert "in the class" not in str(caught.value)


def test_what_was_not_made_yet_or_belongs_to_the_class_can_not_be_deleted_and_the_error_says_so() -> None:
    made = MadeCtx()
    with made.scope():
        for name in ("made", "limit", "shared"):
            with pytest.raises(AttributeError, match=rf"^MadeCtx\.{name} has no value in scope #\d+ that could be del"):
                delattr(made, name)
        assert made.made == 1
        del made.made
        with pytest.raises(AttributeError, match=r"^MadeCtx\.made has no value in scope #\d+ that could be deleted$"):
            del made.made


def test_a_property_that_says_itself_that_it_is_missing_is_not_offered_in_its_own_place() -> None:
    class Mine(RequestContext):
        @property
        def gone(self) -> str:
            raise AttributeError("as if there were none", name="gone", obj=self)

    mine = Mine()
    with mine.scope(), pytest.raises(AttributeError, match="Mine has no 'gone' in scope") as caught:
        _ = mine.gone
    assert "did you mean" not in str(caught.value)


def test_a_field_that_is_reached_past_the_context_says_that_it_has_no_value(ctx: Ctx) -> None:
    class Mine(Ctx):
        @property
        def request_id(self) -> str:  # type: ignore[override]
            return super().request_id

        @property
        def other(self) -> str:
            return super().request_id

    mine = Mine()
    with mine.scope(), pytest.raises(AttributeError, match=r"Mine has no 'request_id' in scope"):
        _ = mine.request_id
    with mine.scope(), pytest.raises(AttributeError, match=r"request_id is a field: .* super\(\) finds none$"):
        _ = mine.other


# An error speaks of the values that were looked at, whatever a signal handler has done meanwhile


def interrupted(code: Any, interrupt: Any) -> Any:
    """A profile function that calls `interrupt` where `code` begins, once, as a signal handler might run there."""

    def watch(frame: Any, event: str, argument: Any) -> None:
        if event == "call" and frame.f_code is code:
            sys.setprofile(None)
            interrupt()

    return watch


@pytest.mark.parametrize("name", ["request_id", "usr"], ids=["a declared name", "a misspelt name"])
@pytest.mark.parametrize("use", [getattr, delattr])
def test_an_error_names_the_scope_that_was_looked_at_and_not_one_opened_meanwhile(name: str, use: Any) -> None:
    ctx = Ctx()
    with ctx.scope() as scope:
        inner = ctx.scope()
        code = (Field.__get__ if (name, use) == ("request_id", getattr) else Ctx._local__attribute_error).__code__
        sys.setprofile(interrupted(code, inner.__enter__))
        try:
            with pytest.raises(AttributeError, match=rf"in scope #{scope.serial}( yet)?:"):
                use(ctx, name)
        finally:
            sys.setprofile(None)
        assert Scope.current(ctx) is inner
        inner.close()


@pytest.mark.parametrize("name", ["request_id", "usr"], ids=["a declared name", "a misspelt name"])
def test_an_error_says_that_the_scope_that_was_looked_at_has_ended_meanwhile(name: str) -> None:
    ctx = Ctx()
    with ctx.scope(request_id="outer", usr="outer"):
        inner = ctx.scope()
        with inner:
            sys.setprofile(interrupted(Ctx._local__attribute_error.__code__, lambda: inner.__exit__(None, None, None)))
            try:
                with pytest.raises(RequestEndedError, match=rf"reading '{name}' .* after scope #{inner.serial} has"):
                    getattr(ctx, name)
            finally:
                sys.setprofile(None)
            assert getattr(ctx, name) == "outer"


def test_an_error_outside_a_request_is_one_also_where_a_scope_was_opened_meanwhile() -> None:
    ctx = Ctx()
    inner = ctx.scope(request_id="inner")
    sys.setprofile(interrupted(Ctx._local__attribute_error.__code__, inner.__enter__))
    try:
        with pytest.raises(OutsideRequestError, match="reading 'request_id'"):
            _ = ctx.request_id
    finally:
        sys.setprofile(None)
    assert ctx.request_id == "inner"
    inner.close()
