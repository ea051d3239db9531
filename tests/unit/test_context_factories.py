"""RequestContext: `dataclasses.field` on a field, and defaults that are made for each request."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import field
from typing import Any, ClassVar

import pytest
from support.helpers import Boom, in_thread, raise_boom

from tlctx import ContextMiddleware, RequestContext, Scope
from tlctx.lowlevel import bound, open_scopes


class Mine(RequestContext):
    first: int = 1
    tags: list[str] = field(default_factory=list)
    last: int = 2


def test_each_request_has_a_default_of_its_own() -> None:
    mine = Mine()
    with mine.scope():
        mine.tags.append("a")
        with mine.scope():
            assert mine.tags == []
        assert mine.tags == ["a"]
        assert in_thread(lambda: getattr(mine, "tags", None)) is None
    with mine.scope(tags=["given"]):
        assert mine.tags == ["given"]
    with mine.scope():
        assert mine.tags == []


def test_it_is_there_from_the_start_in_its_place_among_the_others_and_does_not_come_back() -> None:
    mine = Mine()
    with mine.scope():
        assert list(mine) == ["first", "tags", "last"]
        assert mine.get("tags") == []
        assert "tags" in mine
        del mine.tags
        with pytest.raises(AttributeError, match=r"Mine\.tags is declared, but has no value"):
            _ = mine.tags


def test_a_scope_by_hand_and_a_request_have_it_too() -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        mine.tags.append("a")
        return [repr(mine.tags).encode()]

    mine = Mine()
    scope = Scope(mine)
    with bound(scope):
        assert mine.tags == []
    scope.close()
    served = ContextMiddleware(app, mine)
    assert [served({}, None) for _ in range(2)] == [[b"['a']"]] * 2  # type: ignore[arg-type]


def test_a_subclass_inherits_the_factory_and_may_declare_another_default() -> None:
    class Same(Mine):
        tags: list[str]

    class Plain(Mine):
        tags = ("fixed",)  # type: ignore[assignment]

    class Other(Mine):
        tags = field(default_factory=lambda: ["other"])
        first = field(default=5)

    for cls, expected in ((Same, []), (Plain, ("fixed",)), (Other, ["other"])):
        context = cls()
        with context.scope():
            assert context.tags == expected
    with Other().scope() as scope:
        assert scope.namespace["first"] == 5


def test_a_mixin_may_declare_it() -> None:
    class Tagged:
        tags: list[str] = field(default_factory=list)

    class Mixed(Tagged, RequestContext):
        pass

    mixed = Mixed()
    with mixed.scope():
        mixed.tags.append("a")
    with mixed.scope():
        assert mixed.tags == []


def test_a_default_in_a_field_is_the_default_and_an_empty_field_declares_the_name() -> None:
    class Other(RequestContext):
        user: str = field(default="nobody")
        request_id: str = field()

    other = Other()
    with other.scope():
        assert dict(vars(other)) == {"user": "nobody"}
        with pytest.raises(AttributeError, match="declared, but has no value"):
            _ = other.request_id
    assert Other.user == "nobody"


OPTIONS: dict[str, Any] = {
    "init": False, "repr": False, "hash": True, "compare": False, "metadata": {"a": 1}, "kw_only": True,
    "doc": "what it is for",
}  # fmt: skip


@pytest.mark.parametrize("option", OPTIONS)
def test_what_else_a_dataclass_field_takes_is_refused_by_its_name(option: str) -> None:
    if not hasattr(field(), option):
        pytest.skip("this Python's dataclasses don't have it")
    made: Any = field(default=1, **{option: OPTIONS[option]})
    with pytest.raises(TypeError, match=rf"field\({option}\) for Bad\.value is refused: .* default and default_f"):
        type("Bad", (RequestContext,), {"value": made, "__annotations__": {"value": int}})


def test_all_that_is_refused_is_named() -> None:
    with pytest.raises(TypeError, match=r"field\(init, repr\) for Bad\.value"):

        class Bad(RequestContext):
            value: int = field(init=False, repr=False)


def test_a_mutable_default_is_refused_in_a_field_too() -> None:
    class Unhashable:
        __hash__ = None  # type: ignore[assignment]

    hidden: Any = field(default=1)
    hidden.default = Unhashable()  # which dataclasses would refuse first
    with pytest.raises(TypeError, match=r"mutable default Unhashable for Bad\.value .*default_factory"):
        type("Bad", (RequestContext,), {"value": hidden, "__annotations__": {"value": int}})


def test_a_field_that_declares_nothing_is_refused() -> None:
    with pytest.raises(TypeError, match=r"field\(\) for Bad\.value declares nothing: annotate the name"):
        type("Bad", (RequestContext,), {"value": field(default_factory=list)})
    with pytest.raises(TypeError, match=r"field\(\) for Bad\.value declares nothing: .*ClassVar"):

        class Bad(RequestContext):
            value: ClassVar[list[int]] = field(default_factory=list)


def test_a_dataclass_has_it_too_and_so_have_its_subclasses() -> None:
    @dataclasses.dataclass
    class Data(RequestContext):
        user: str = "nobody"
        tags: list[str] = field(default_factory=list)

    class Sub(Data):
        pass

    class Declaring(Data):
        tags: list[str]

    @dataclasses.dataclass
    class Again(Data):
        tags: list[str] = field(default_factory=lambda: ["again"])

    class Last(Again):
        pass

    last: Any = Last
    assert Scope(last()).namespace["tags"] == ["again"]
    kinds: list[Any] = [Data, Sub, Declaring]
    for cls in kinds:
        data = cls("ann")
        for _ in range(2):
            with data.scope():
                assert (data.user, data.tags) == ("ann", [])
                data.tags.append("a")
        scope = Scope(data)
        assert scope.namespace["tags"] == []
        with bound(scope):
            del data.tags
            with pytest.raises(AttributeError, match="tags is declared, but has no value"):
                _ = data.tags
        scope.close()


def test_what_a_factory_raises_is_raised_where_the_scope_is_made_and_leaves_nothing() -> None:
    class Failing(RequestContext):
        user: str = "nobody"
        value: int = field(default_factory=raise_boom)

    failing = Failing()
    makes: list[Callable[[], object]] = [lambda: failing.scope(user="ann"), lambda: Scope(failing)]
    for make in makes:
        with pytest.raises(Boom):
            make()
    assert Scope.current(failing) is None
    assert not [scope for scope in open_scopes() if scope.context is failing]


def test_a_factory_may_use_scopes_itself() -> None:
    class Inner(RequestContext):
        user: str = "inner"

    def make() -> str:
        with inner.scope():
            return inner.user

    class Outer(RequestContext):
        user: str = field(default_factory=make)

    inner, outer = Inner(), Outer()
    with outer.scope():
        assert outer.user == "inner"
