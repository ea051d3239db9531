"""Wrong and odd arguments to everything that the accelerator exports are errors, and nothing worse."""

from __future__ import annotations

from typing import Any

import pytest
from accelerator.built import _accelerator
from support.helpers import missing_accelerator

import tlctx


def test_an_instance_of_a_subclass_of_str_names_an_attribute() -> None:
    class Name(str):
        __slots__ = ()

    instance: Any = _accelerator.local()
    setattr(instance, Name("x"), 1)
    assert (instance.x, getattr(instance, Name("x")), getattr(instance, Name("__dict__"))) == (1, 1, {"x": 1})
    for refused in (instance.__getattribute__, instance.__delattr__, lambda name: instance.__setattr__(name, 1)):
        with pytest.raises(TypeError, match="must be string"):
            refused(5)


METHODS = ("bind", "unbind", "close_if_idle", "call", "close", "_claim_end", "_release", "__iter__", "__next__")
WRONG: tuple[Any, ...] = (None, 5, "text", object(), [], {}, (), int, _accelerator.local(), _accelerator.local)


@pytest.mark.parametrize("name", sorted(set(dir(_accelerator)) - {"__loader__", "__spec__", "__builtins__"}))
def test_wrong_arguments_raise_and_do_not_crash(name: str) -> None:
    subject = getattr(_accelerator, name)
    if not callable(subject):
        return
    for arguments in [(), *[(one,) for one in WRONG], *[(one, other) for one in WRONG for other in WRONG]]:
        try:
            made = subject(*arguments)
        except Exception:
            continue
        for method in METHODS:
            for given in [(), *[(one,) for one in WRONG], (None, None, None, None), (None, None, None, len)]:
                try:
                    getattr(made, method)(*given)
                except Exception:
                    continue


def test_an_object_whose_init_never_ran_refuses_its_use() -> None:
    for kind in (_accelerator.ScopeBase, _accelerator.ScopedIterator):
        with pytest.raises(TypeError):
            kind.__new__(kind)
    with pytest.raises(TypeError):
        type(_accelerator.local()._local__impl)()


def test_a_scope_takes_its_arguments_by_place_and_by_name_whatever_its_class() -> None:
    if tlctx.IMPLEMENTATION != "c":
        missing_accelerator()

    class Own(tlctx.Scope):
        """Made as a Scope is."""

    class Counted(tlctx.Scope):
        def __new__(cls, *args: Any, **kw: Any) -> Any:
            made.append(args)
            return super().__new__(cls, *args, **kw)

    made: list[Any] = []
    ctx, source = type(tlctx.ctx)(), {"a": "x", "b": "y"}
    kinds: list[Any] = [tlctx.Scope, Own, Counted]
    for kind in kinds:
        scopes = [
            kind(ctx, source, ("a", "b")),
            kind(ctx, source, label=("a", "b")),
            kind(context=ctx, source=source, label="x y"),
        ]
        assert [(type(scope), scope.source, scope.label) for scope in scopes] == [(kind, source, "x y")] * 3
        refused: list[tuple[Any, ...]] = [(), (ctx, source, "", {}, 5), (5, None, "")]
        for wrong in refused:
            with pytest.raises(TypeError):
                kind(*wrong)
        with pytest.raises(TypeError):
            kind(ctx, nonsense=5)
    assert len(made) == 7
