"""Looking a name up in a class may run code that changes the class: what was found there may be gone afterwards.

The names are longer than those of which the interpreter remembers what a class has: up to CPython 3.12 it makes the
very mistake that is looked for here.
"""

from __future__ import annotations

import pytest
from support.helpers import run_program

MADE = """
    import gc, sys
    from tlctx._core._accelerator import local

    name = sys.intern("name" * 30)

    class Key(str):
        armed = None

        def __hash__(self):
            return hash(name)

        def __eq__(self, other):
            if Key.armed is not None:
                change, Key.armed = Key.armed, None
                change()
            return False

    class Descriptor:
        __slots__ = tuple(f"slot_{number}" for number in range(50))  # of a size that nothing else has, once it is freed

        def __get__(self, instance, owner=None):
            return "the descriptor's"

    class Top(local): pass
    class Base(Top): pass
    setattr(Base, name, Descriptor())
    Mine = type("Mine", (Base,), {Key("k"): 1})
    mine = Mine()
    getattr(Mine, "other", None), getattr(Descriptor, "other", None)  # the classes have versions
"""


def run(program: str) -> str:
    return run_program(MADE + program, PYTHONMALLOC="debug", TLCTX_PURE_PYTHON="")


@pytest.mark.parametrize("look_again", ["True", "False"])
def test_a_base_that_goes_while_it_is_searched_leaves_no_descriptor_behind(look_again: str) -> None:
    program = f"""
    def change():
        Mine.__bases__ = (Top,)
        if {look_again}:
            getattr(Mine, "something", None)  # the class has a version again

    Key.armed = change
    getattr(mine, name, None)
    delattr(Base, name)
    gc.collect()
    vars(mine)[name] = 5
    print([getattr(mine, name, "absent") for _ in range(5)])
    """
    assert run(program) == "[5, 5, 5, 5, 5]\n"


def test_a_class_that_is_exchanged_and_freed_while_it_is_searched_does_no_harm() -> None:
    program = """
    class Other(Top): pass

    def change():
        global Mine, Base
        Mine = Base = None
        mine.__class__ = Other
        gc.collect()

    vars(mine)[name] = 5
    Key.armed = change
    print(getattr(mine, name, "absent"), type(mine).__name__)
    vars(mine)[name] = 6
    print([getattr(mine, name, "absent") for _ in range(3)])
    """
    assert run(program).splitlines()[1] == "[6, 6, 6]"


def test_a_descriptor_that_goes_while_its_class_is_searched_for_another_is_called_no_more() -> None:
    program = """
    def change():
        delattr(Base, name)
        gc.collect()

    Key.armed = change
    print(getattr(mine, name, "absent"))
    vars(mine)[name] = 5
    print([getattr(mine, name, "absent") for _ in range(3)])
    """
    assert run(program) == "absent\n[5, 5, 5]\n"
