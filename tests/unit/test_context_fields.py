"""RequestContext: the fields that a class declares, their defaults, and its methods."""

from __future__ import annotations

import abc
import collections
import dataclasses
import functools
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from support.contexts import Ctx
from support.helpers import in_foreign_thread, in_thread

import tlctx
from tlctx import OutsideRequestError, RequestContext


@pytest.fixture
def ctx() -> Ctx:
    return Ctx()


def test_a_default_is_there_at_the_start_of_every_scope(ctx: Ctx) -> None:
    with ctx.scope():
        assert ctx.get("user", "-") is None
        ctx.user = "ann"
        assert ctx.user == "ann"
    with ctx.scope():
        assert dict(vars(ctx)) == {"user": None}


def test_a_declared_field_without_a_default_says_that_it_is_unset(ctx: Ctx) -> None:
    with ctx.scope():
        with pytest.raises(AttributeError, match=r"Ctx\.request_id is declared, but has no value in scope #\d+ yet"):
            _ = ctx.request_id
        ctx.request_id = "r1"
        assert ctx.request_id == "r1"
        del ctx.request_id
        assert not hasattr(ctx, "request_id")


def test_a_misspelt_name_is_told_the_closest_one(ctx: Ctx) -> None:
    with ctx.scope(tenant="t1"):
        for wrong, right in (("usr", "user"), ("tennant", "tenant"), ("is_admim", "is_admin"), ("limitt", "limit")):
            with pytest.raises(AttributeError, match=f"Ctx has no '{wrong}' in scope #.* did you mean '{right}'?"):
                getattr(ctx, wrong)
        with pytest.raises(AttributeError, match=r"has no 'qqq'.*declare it in the class"):
            _ = ctx.qqq  # type: ignore[attr-defined]
        with pytest.raises(AttributeError, match="did you mean 'user'"):
            del ctx.usr  # type: ignore[attr-defined]


def test_of_a_deleted_value_that_had_a_default_the_error_says_that_it_was_deleted(ctx: Ctx) -> None:
    with ctx.scope() as scope:
        del ctx.user
        with pytest.raises(AttributeError) as caught:
            _ = ctx.user
        assert str(caught.value) == (
            f"Ctx.user is declared, but has no value in {scope} any more: it was deleted. Assign it before it is read"
        )
        assert caught.value.name == "user"


def test_a_deleted_value_is_unset_and_its_default_does_not_come_back(ctx: Ctx) -> None:
    with ctx.scope(user="ann"):
        del ctx.user
        with pytest.raises(AttributeError, match="declared, but has no value"):
            _ = ctx.user


def test_a_name_that_nobody_declared_can_be_assigned() -> None:
    with tlctx.ctx.scope():
        tlctx.ctx.anything = 1
        assert tlctx.ctx.anything == 1


def test_class_constants_and_class_variables_are_no_fields(ctx: Ctx) -> None:
    assert ctx.limit == 10
    ctx.shared["n"] = 1
    with ctx.scope():
        assert (ctx.limit, ctx.shared, list(ctx)) == (10, {"n": 1}, ["user"])


def test_fields_are_inherited_overridden_and_mixed_in() -> None:
    class Tenancy:
        tenant: str = "none"

    class Base(RequestContext):
        user: str = "nobody"
        role: str = "guest"
        name: str = "x"

    class Derived(Tenancy, Base):
        user: str = "somebody"
        role = "reader"

        @property
        def name(self) -> str:  # type: ignore[override]
            return self.user.title()

    base, derived = Base(), Derived()
    with derived.scope(), base.scope():
        assert dict(vars(base)) == {"user": "nobody", "role": "guest", "name": "x"}
        assert dict(vars(derived)) == {"tenant": "none", "user": "somebody", "role": "reader"}
        assert derived.name == "Somebody"


def test_the_class_itself_answers_with_the_default() -> None:
    assert Ctx.user is None
    with pytest.raises(AttributeError, match="request_id has no default"):
        _ = Ctx.request_id


@dataclasses.dataclass
class Unhashable:
    x: int = 0


@pytest.mark.parametrize(
    "default", [[], {}, set(), bytearray(), collections.deque(), Unhashable()], ids=lambda value: type(value).__name__
)
@pytest.mark.parametrize("annotated", [True, False], ids=["annotated", "plain"])
def test_a_mutable_default_is_refused_when_the_class_is_made(default: Any, *, annotated: bool) -> None:
    body = {"items": default, "__annotations__": {"items": type(default)} if annotated else {}}
    with pytest.raises(TypeError, match=r"mutable default \w+ for Bad.items would be shared.*@per_request"):
        type("Bad", (RequestContext,), body)


@pytest.mark.parametrize("name", ["get", "scope", "callback", "enter_context", "greeting"])
def test_a_methods_name_can_be_neither_a_field_nor_a_value(ctx: Ctx, name: str) -> None:
    with pytest.raises(TypeError, match=f"field '{name}' of Bad would hide the method"):
        type("Bad", (Ctx,), {"__annotations__": {name: int}})
    with ctx.scope():
        with pytest.raises(AttributeError, match=rf"Ctx\.{name} is a method and can't be assigned"):
            setattr(ctx, name, 1)
        with pytest.raises(AttributeError, match=rf"Ctx\.{name} is a method and can't be deleted"):
            delattr(ctx, name)
    with pytest.raises(AttributeError, match="is a method"):
        ctx.scope(**{name: 1}).__enter__()
    assert ctx.greeting.__func__(type("Fake", (), {"user": "u"})) == "Hello, u!"  # type: ignore[attr-defined]


def test_other_kinds_of_methods_are_guarded_under_the_name_they_have() -> None:
    class Mine(RequestContext):
        def method(self) -> None: ...

        alias = method
        made = lambda self: 1  # noqa: E731
        cached = functools.lru_cache(lambda self: 1)
        partial = functools.partialmethod(method)

        @classmethod
        def of_class(cls) -> str:
            return cls.__name__

    mine = Mine()
    with mine.scope():
        for name in ("method", "alias", "made", "cached", "partial", "of_class"):
            with pytest.raises(AttributeError, match=rf"Mine\.{name} is a method"):
                setattr(mine, name, 1)
        assert (mine.of_class(), mine.made(), mine.cached()) == ("Mine", 1, 1)  # type: ignore[no-untyped-call]


def test_an_abstract_method_stays_abstract() -> None:
    class Abstract(RequestContext, abc.ABC):
        @abc.abstractmethod
        def load(self) -> str: ...

    class Concrete(Abstract):
        def load(self) -> str:
            return "loaded"

    assert Abstract.__abstractmethods__ == {"load"}
    assert Concrete().load() == "loaded"


@pytest.mark.parametrize("where", ["own", "dataclass"])
def test_a_slot_which_all_requests_would_share_is_refused(where: str) -> None:
    slotted = {"__slots__": ("user",), "__annotations__": {"user": str}}
    with pytest.raises(TypeError, match=r"slot 'user' of \w+ would be shared by all requests"):
        if where == "own":
            type("Bad", (RequestContext,), slotted)
        else:
            dataclasses.dataclass(slots=True)(type("Bad", (RequestContext,), {"__annotations__": {"user": str}}))


def test_an_init_from_a_dataclass_or_a_mixin_runs_at_the_start_of_every_scope_too() -> None:
    @dataclasses.dataclass
    class Data(RequestContext):
        user: str = "nobody"

    class Mixin:
        def __init__(self) -> None:
            self.items: list[int] = []

    class Mixed(Mixin, RequestContext):
        pass

    data, mixed = Data("ann"), Mixed()
    for _ in range(2):
        with data.scope(), mixed.scope():
            assert data.user == "ann"
            mixed.items.append(1)
            assert mixed.items == [1]


def test_a_default_may_be_any_callable_or_class() -> None:
    class Mine(RequestContext):
        clock: Callable[[], float] = time.time
        bound: Callable[[], None] = threading.Event().set
        kind: type = property
        function: Callable[..., Any] = in_thread

    mine = Mine()
    with pytest.raises(OutsideRequestError):
        _ = mine.bound
    with mine.scope():
        assert sorted(mine) == ["bound", "clock", "function", "kind"]
        assert mine.clock is time.time
        mine.function = in_foreign_thread
        assert mine.function is in_foreign_thread


def test_what_a_mixin_shares_without_declaring_it_is_its_own_business() -> None:
    class Mixin:
        registry: ClassVar[list[int]] = []
        plain = [1]  # noqa: RUF012

    class Mine(Mixin, RequestContext):
        pass

    assert Mine().plain is Mixin.plain


def test_the_interpreter_adds_no_suggestion_of_its_own(ctx: Ctx) -> None:
    with ctx.scope(), pytest.raises(AttributeError) as caught:
        _ = ctx.usr  # type: ignore[attr-defined]
    assert "".join(traceback.format_exception(caught.value)).count("'user'") == 1


def test_the_classes_own_code_and_properties_work_as_in_any_class(ctx: Ctx) -> None:
    with ctx.scope(user="admin"):
        assert ctx.is_admin
        assert ctx.greeting() == "Hello, admin!"
        with pytest.raises(AttributeError):
            ctx.is_admin = False  # type: ignore[misc]


def test_an_error_in_a_propertys_code_is_not_taken_for_a_missing_name(ctx: Ctx) -> None:
    with ctx.scope(), pytest.raises(AttributeError, match="'NoneType' object has no attribute 'nonsense'"):
        _ = ctx.broken


def test_an_init_runs_at_the_start_of_every_scope_with_the_constructors_arguments() -> None:
    class Mine(RequestContext):
        started: bool = False

        def __init__(self, first: int, *, second: int = 0) -> None:
            self.items = [first, second]
            assert not self.started
            self.started = True

    mine = Mine(1, second=2)
    for _ in range(2):
        with mine.scope():
            mine.items.append(3)
            assert mine.items == [1, 2, 3]
    with pytest.raises(TypeError, match="missing a required argument: 'first'"):
        Mine()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="takes no arguments"):
        Ctx(1)
