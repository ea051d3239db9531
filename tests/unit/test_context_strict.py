"""RequestContext: `strict=True`, with which a class refuses names that it does not declare."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest
from support.helpers import OnlySets

from tlctx import ContextMiddleware, OutsideRequestError, RequestContext, RequestEndedError, Scope, per_request
from tlctx._core.namespace import Namespace


class StoresUnderItsName:
    """A data descriptor, as one that checks what is assigned."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else vars(instance)[self.name]

    def __set__(self, instance: Any, value: int) -> None:
        vars(instance)[self.name] = value * 2


class Strict(RequestContext, strict=True):
    user: str = "nobody"
    request_id: str
    _private: int
    __mangled: int
    page_size: ClassVar[int] = 20
    limit = 10
    checked = StoresUnderItsName()

    @per_request
    def db(self) -> Iterator[str]:
        yield "db"

    @functools.cached_property
    def cached(self) -> int:
        return 5

    @property
    def title(self) -> str:
        return self.user.title()

    @title.setter
    def title(self, value: str) -> None:
        self.user = value.lower()

    def mangle(self) -> None:
        self.__mangled = 5

    def greeting(self) -> str:
        return f"Hello, {self.user}!"


@pytest.fixture
def ctx() -> Any:
    return Strict()


def test_what_the_class_declares_can_be_written_read_and_deleted(ctx: Any) -> None:
    with ctx.scope(user="ann", db="fake"):
        ctx.request_id = "r1"
        ctx._private = 1
        ctx.mangle()
        ctx.title = "BOB"
        ctx.checked = 2
        assert (ctx.user, ctx.request_id, ctx.db, ctx._private, ctx.title) == ("bob", "r1", "fake", 1, "Bob")
        assert (ctx.checked, ctx.cached, ctx.limit, ctx.page_size) == (4, 5, 10, 20)
        del ctx.user, ctx.db
        assert ctx.db == "db"
        vars(ctx)["user"] = "carl"
        vars(ctx).update(user="dora", request_id="r2")
        assert vars(ctx).setdefault("user", "emil") == ctx.user == "dora"
        assert ctx.setdefault("_private", 2) == 1


WRITES: dict[str, Callable[[Any, str], object]] = {
    "assigned": lambda ctx, name: setattr(ctx, name, "x"),
    "setdefault": lambda ctx, name: ctx.setdefault(name, "x"),
    "a first value": lambda ctx, name: ctx.scope(**{name: "x"}).__enter__(),
    "update": lambda ctx, name: Scope.current(ctx).update({name: "x"}),  # type: ignore[union-attr]
    "vars": lambda ctx, name: vars(ctx).__setitem__(name, "x"),
    "vars, setdefault": lambda ctx, name: vars(ctx).setdefault(name, "x"),
    "vars, update": lambda ctx, name: vars(ctx).update({"user": "changed", name: "x"}),
    "vars, update by name": lambda ctx, name: vars(ctx).update(**{name: "x"}),
    "vars, merge": lambda ctx, name: vars(ctx).__ior__({name: "x"}),
}
REFUSED = {
    "usr": r"^Strict is strict and declares no 'usr': did you mean 'user'\?$",
    "qqq": "^Strict is strict and declares no 'qqq': declare it in the class$",
    "_other": "^Strict is strict and declares no '_other': declare it in the class$",
    "__wrapped__": "^Strict is strict and declares no '__wrapped__': declare it in the class$",
    "scop": "^Strict is strict and declares no 'scop': declare it in the class$",
    "page_size": r"^Strict\.page_size is no field, so it can't be assigned in a request: annotate it in the class$",
    "limit": r"^Strict\.limit is no field, so it can't be assigned in a request: annotate it in the class$",
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("write", WRITES)
def test_what_it_does_not_declare_is_refused_however_it_is_written(ctx: Any, write: str, name: str) -> None:
    with ctx.scope():
        with pytest.raises(AttributeError, match=REFUSED[name]) as caught:
            WRITES[write](ctx, name)
        assert caught.value.name == name
        assert dict(vars(ctx)) == {"user": "nobody"}


@pytest.mark.parametrize("name", ["greeting", "get", "scope"])
def test_a_methods_name_is_refused_as_ever(ctx: Any, name: str) -> None:
    with ctx.scope(), pytest.raises(AttributeError, match="is a method and can't be assigned"):
        setattr(ctx, name, "x")


def test_a_first_value_of_the_middleware_is_refused_too(ctx: Any) -> None:
    served = ContextMiddleware(lambda environ, start_response: [], ctx, lambda environ: {"usr": "ann"})
    with pytest.raises(AttributeError, match="declares no 'usr'"):
        served({}, None)  # type: ignore[arg-type]
    assert Scope.current(ctx) is None


def test_an_init_may_set_what_is_declared_alone() -> None:
    class Good(Strict):
        def __init__(self) -> None:
            self.request_id = "r1"

    class Bad(Strict):
        def __init__(self) -> None:
            self.request = "r1"

    good = Good()
    with good.scope():
        assert good.request_id == "r1"
    with pytest.raises(AttributeError, match="did you mean 'request_id'"), Bad().scope():
        pass


def test_subclasses_are_strict_unless_they_say_otherwise() -> None:
    class Sub(Strict):
        tenant: str

    class Lax(Sub, strict=False):
        pass

    class Again(Lax, strict=True):
        pass

    class Mixed(RequestContext):
        other: int = 1

    class Both(Mixed, Strict):
        pass

    for cls, is_strict in ((Sub, True), (Lax, False), (Again, True), (Mixed, False), (Both, True)):
        context: Any = cls()
        with context.scope():
            if is_strict:
                with pytest.raises(AttributeError, match=f"^{cls.__name__} is strict and declares no 'qqq'"):
                    context.qqq = 1
            else:
                context.qqq = 1
            assert hasattr(context, "qqq") is not is_strict
            if cls is not Mixed:
                context.user = "ann"
            if issubclass(cls, Sub):
                context.tenant = "t1"
            if issubclass(cls, Mixed):
                context.other = 2
    base: Any = Strict()
    with base.scope(), pytest.raises(AttributeError, match="declares no 'tenant'"):
        base.tenant = "t1"


def test_a_mixins_fields_are_declared_too() -> None:
    class Tenancy:
        tenant: str

    class Mixed(Tenancy, RequestContext, strict=True):
        pass

    mixed = Mixed()
    with mixed.scope(tenant="t1"):
        assert mixed.tenant == "t1"


def test_a_per_request_that_the_class_gets_later_is_declared_too() -> None:
    class Mine(RequestContext, strict=True):
        pass

    made: Any = per_request(lambda self: 5)
    made.__set_name__(Mine, "late")
    Mine.late = made  # type: ignore[attr-defined]
    mine: Any = Mine()
    with mine.scope():
        assert mine.late == 5
        mine.late = 6
        assert mine.late == 6


def test_a_name_that_is_no_name_is_refused(ctx: Any) -> None:
    five: Any = 5
    with ctx.scope():
        with pytest.raises(TypeError, match="attribute name must be string"):
            setattr(ctx, five, 1)
        with pytest.raises(AttributeError, match="is strict and declares no 5"):
            vars(ctx)[five] = 1


def test_a_name_of_a_class_derived_from_str_is_taken_for_what_it_says(ctx: Any) -> None:
    class Name(str):
        __slots__ = ()

    with ctx.scope():
        setattr(ctx, Name("user"), "ann")
        assert ctx.user == "ann"
        with pytest.raises(AttributeError, match="declares no 'usr'"):
            setattr(ctx, Name("usr"), "ann")


def test_it_refuses_outside_a_request_and_after_its_end_as_any_context_does(ctx: Any) -> None:
    with pytest.raises(OutsideRequestError, match="writing 'user'"):
        ctx.user = "ann"
    with ctx.scope() as scope:
        kept = vars(ctx)
        scope.close()
        with pytest.raises(RequestEndedError, match="writing 'user'"):
            ctx.user = "ann"
    with pytest.raises(RequestEndedError, match="writing 'user'"):
        kept["user"] = "ann"
    assert not kept


def test_its_scopes_end_and_the_next_ones_begin_as_any() -> None:
    strict, lax = Strict(), OnlyUser()
    for _ in range(3):
        with strict.scope(user="ann"), lax.scope(user="bob"):
            assert isinstance(vars(strict), Namespace)
            assert isinstance(vars(lax), Namespace)
            lax.qqq = 1  # type: ignore[attr-defined]
            with pytest.raises(AttributeError, match="declares no 'qqq'"):
                strict.qqq = 1  # type: ignore[attr-defined]


class OnlyUser(RequestContext):
    user: str = "nobody"


def test_a_descriptor_that_only_sets_is_asked_as_ever() -> None:
    class Mine(RequestContext, strict=True):
        set_through: int
        log = OnlySets()

    mine: Any = Mine()
    with mine.scope():
        mine.log = 5
        assert mine.set_through == 5
