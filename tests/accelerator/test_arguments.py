"""Wrong and odd arguments to everything that the accelerator exports are errors, and nothing worse."""

from __future__ import annotations

from typing import Any

import pytest
from accelerator.built import _accelerator


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
