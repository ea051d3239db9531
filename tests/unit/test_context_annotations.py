"""RequestContext: annotations are read without being evaluated, whatever they name (PEP 563, 649, 810)."""

from __future__ import annotations

import functools
import inspect
import sys
import typing
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tlctx import RequestContext

UNEVALUATED = [
    pytest.param("from __future__ import annotations", id="texts"),
    pytest.param(
        "", id="code", marks=pytest.mark.skipif(sys.version_info < (3, 14), reason="evaluated by the interpreter")
    ),
]


def run(source: str, **names: Any) -> Any:
    """What the module-level `source` makes; this file's own `annotations` feature does not count in it."""
    namespace: dict[str, Any] = {"__name__": __name__, "RequestContext": RequestContext, **names}
    exec(compile(source, "<source>", "exec", dont_inherit=True), namespace)
    return namespace


@pytest.mark.parametrize("first_line", UNEVALUATED)
def test_a_field_may_be_of_a_type_that_is_known_to_type_checkers_alone_or_defined_later(first_line: str) -> None:
    made = run(
        f"""{first_line}
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from nowhere import Tenant

class Mixin:
    tenant: Tenant[Later, nowhere.Other] | None = None

class Mine(Mixin, RequestContext):
    user: Later
    shared: ClassVar[dict[str, Later]] = {{}}

    def __init__(self, first: Later, *, second: Tenant | None = None) -> None:
        self.both = first, second

    def greeting(self, other: Later) -> Tenant:
        return f"Hello, {{other}}!"

class Later: ...
"""
    )
    with pytest.raises(TypeError, match="missing a required argument: 'first'"):
        made["Mine"]()
    mine = made["Mine"](1, second=2)
    with mine.scope(user="ann"):
        assert dict(vars(mine)) == {"tenant": None, "user": "ann", "both": (1, 2)}
        assert mine.shared == {}
        with pytest.raises(AttributeError, match="is a method"):
            mine.greeting = 1
    with mine.scope(), pytest.raises(AttributeError, match="declared, but has no value"):
        _ = mine.user


@pytest.mark.parametrize("first_line", UNEVALUATED)
def test_no_annotation_is_evaluated(first_line: str) -> None:
    evaluated: list[str] = []
    made = run(
        f"""{first_line}
class Mine(RequestContext):
    user: note("a field's")

    def __init__(self, first: note("an argument's")) -> note("a result's"):
        self.user = first

    def greeting(self, other: note("a method's")) -> None: ...
""",
        note=evaluated.append,
    )
    mine = made["Mine"](1)
    with mine.scope():
        assert mine.user == 1
    assert evaluated == []


@pytest.mark.parametrize("first_line", UNEVALUATED)
def test_a_strict_class_its_made_defaults_and_its_overrides_need_no_annotation_evaluated(first_line: str) -> None:
    evaluated: list[str] = []
    made = run(
        f"""{first_line}
from dataclasses import field
from functools import lru_cache
from typing import ClassVar

class Mixin:
    def pop(self, name: note("a mixin's"), default: Later = None) -> Later:
        return super().pop(name, default)

class Mine(Mixin, RequestContext, strict=True):
    user: note("a field's") = None
    tags: note("a made default's") = field(default_factory=list)
    page_size: ClassVar[note("a class variable's")] = 20
    _private: Later

    def get(self, name: note("an override's"), default: Later = None) -> note("a result's"):
        return super().get(name, default)

    @lru_cache
    def setdefault(self, name: note("a wrapped override's"), default: Later = None) -> Later: ...

class Later: ...
""",
        note=evaluated.append,
    )
    mine = made["Mine"]()
    with mine.scope(user="ann", _private=1):
        mine.tags.append("a")
        assert (mine.get("user"), mine.pop("tags"), mine.get("tags")) == ("ann", ["a"], None)
        for name in ("page_size", "other"):
            with pytest.raises(AttributeError, match=r"can't be assigned|declares no 'other'"):
                setattr(mine, name, 5)
    with mine.scope():
        assert mine.tags == []
    assert evaluated == []


@pytest.mark.skipif(sys.version_info < (3, 15), reason="nothing is imported lazily")
def test_what_is_imported_lazily_is_imported_by_whoever_uses_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "models_of_this_test.py").write_text("class User: ...\n")
    made = run(
        """
lazy import models_of_this_test
lazy from models_of_this_test import User
lazy from typing import ClassVar as Shared

class Mine(RequestContext):
    user: User | None = None
    other: models_of_this_test.User
    shared: Shared[list[User]] = []

    def __init__(self, first: User) -> None: ...
"""
    )
    mine = made["Mine"](1)
    with mine.scope():
        assert list(mine) == ["user"]
        assert mine.shared == []
    assert "models_of_this_test" not in sys.modules


@pytest.mark.parametrize(
    "written", ["ClassVar", "typing.ClassVar[int]", "t.ClassVar", "Shared[int]", "Own", "here.Shared"]
)
@pytest.mark.parametrize("first_line", ["", "from __future__ import annotations"], ids=["code", "texts"])
def test_a_class_variable_is_known_by_any_name(first_line: str, written: str, monkeypatch: pytest.MonkeyPatch) -> None:
    here = sys.modules[__name__]
    monkeypatch.setattr(here, "Shared", ClassVar, raising=False)
    monkeypatch.setattr(here, "here", here, raising=False)
    made = run(
        f"""{first_line}
class Mine(RequestContext):
    Own = ClassVar
    shared: {written} = []
    user: str = "nobody"
""",
        ClassVar=ClassVar, typing=typing, t=typing, Shared=ClassVar, here=here,
    )  # fmt: skip
    mine = made["Mine"]()
    with mine.scope():
        assert list(mine) == ["user"]
        assert mine.shared == []


@pytest.mark.parametrize(
    "written", ["Mine.ClassVariable", "list[ClassVar]", "str.ClassVariables", "(ClassVar)[int] or int"]
)
def test_what_only_looks_like_a_class_variable_is_a_field(written: str) -> None:
    cls: Any = type("Mine", (RequestContext,), {"__annotations__": {"user": written}, "user": "nobody"})
    mine = cls()
    with mine.scope():
        assert list(mine) == ["user"]


def test_a_class_variable_is_known_by_a_name_of_the_function_around_the_class() -> None:
    made = run(
        """
def make():
    from typing import ClassVar as Shared

    class Mine(RequestContext):
        shared: Shared[list[int]] = []
        user: "Later" = "nobody"
        more: "Later | None"

        def __init__(self) -> None:
            self.later = Later

    class Later: ...

    return Mine()
"""
    )
    mine = made["make"]()
    with mine.scope():
        assert [name for name in mine if name != "later"] == ["user"]
        assert mine.shared == []


@pytest.mark.skipif(sys.version_info < (3, 14), reason="such names are evaluated by the interpreter")
def test_a_name_of_the_function_around_the_class_may_have_no_value_yet() -> None:
    made = run(
        """
def make():
    class Mine(RequestContext):
        user: Later

    mine = Mine()

    class Later: ...

    return mine
"""
    )
    mine = made["make"]()
    with mine.scope(user="ann"):
        assert mine.user == "ann"


def only_values(kind: int, /) -> dict[str, Any]:
    if kind != 1:
        raise NotImplementedError
    return {"user": str, "shared": ClassVar[list[int]]}


class OnlyValues:
    """An annotate function without code."""

    def __call__(self, kind: int, /) -> dict[str, Any]:
        return only_values(kind)


@pytest.mark.skipif(sys.version_info < (3, 14), reason="classes have no annotate function")
@pytest.mark.parametrize("annotate", [only_values, OnlyValues()], ids=["function", "object"])
def test_an_annotate_function_that_gives_nothing_but_values_is_asked_for_them(annotate: Any) -> None:
    cls: Any = type("Mine", (RequestContext,), {"__annotate__": annotate, "user": "nobody", "shared": []})
    mine = cls()
    with mine.scope():
        assert list(mine) == ["user"]
        assert mine.shared == []


def noted(init: Any) -> Any:
    @functools.wraps(init)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        init(*args, **kwargs)

    return wrapper


def with_signature(init: Any) -> Any:
    wrapper = noted(init)
    wrapper.__signature__ = inspect.Signature(
        [inspect.Parameter(name, inspect.Parameter.POSITIONAL_ONLY) for name in ("self", "first", "second")]
    )
    return wrapper


@pytest.mark.parametrize(
    "make", [lambda init: init, noted, with_signature], ids=["plain", "decorated", "with a signature"]
)
def test_wrong_arguments_are_told_when_a_context_is_made(make: Any) -> None:
    def __init__(self: Any, first: Any, /, second: Any = 2, *, third: Any = 3) -> None: ...

    cls: Any = type("Mine", (RequestContext,), {"__init__": make(__init__)})
    cls(1, 2)
    with pytest.raises(TypeError, match="missing a required argument: 'first'"):
        cls()
    with pytest.raises(TypeError, match="too many positional arguments"):
        cls(1, 2, 3)
    with pytest.raises(TypeError, match="unexpected keyword argument 'fourth'"):
        cls(1, 2, fourth=4)


def test_wrong_arguments_of_a_partial_init_are_told_when_a_context_is_made() -> None:
    def init(self: Any, first: int, second: int) -> None: ...

    cls: Any = type("Mine", (RequestContext,), {"__init__": functools.partialmethod(init, 1)})
    cls(2)
    with pytest.raises(TypeError, match=r"too many positional arguments|missing a required argument"):
        cls(2, 3)
