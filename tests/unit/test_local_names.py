"""`local`: names that are no texts, and what a local keeps for itself, as with `threading.local`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from support.helpers import PATIENCE


class EqualToAll:
    """No text, but equal to `__dict__` as to anything else."""

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


class Unequal:
    def __eq__(self, other: object) -> bool:
        raise ZeroDivisionError

    __hash__ = object.__hash__


def outcome_of(function: Any, *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except Exception as error:
        return type(error), str(error)


@pytest.mark.parametrize("name", [5, None, b"x", (), []], ids=repr)
def test_a_name_that_is_no_text_is_refused_in_the_interpreters_words(local: Any, name: Any) -> None:
    def outcomes(kind: Any) -> list[Any]:
        instance = kind()
        found = [
            outcome_of(instance.__setattr__, name, 1),
            outcome_of(instance.__delattr__, name),
            outcome_of(setattr, instance, name, 1),
            vars(instance),
        ]
        return found if name == [] else [*found, outcome_of(instance.__getattribute__, name)]

    expected = TypeError, f"attribute name must be string, not {type(name).__name__!r}"
    assert outcomes(local) == outcomes(threading.local)
    assert outcomes(local)[:2] == [expected, expected]


def test_a_name_that_is_equal_to_dict_without_being_a_text_is_refused_as_that_is(local: Any) -> None:
    class Mine(local):  # type: ignore[misc]
        pass

    mine: Any = Mine()
    with pytest.raises(AttributeError, match="'Mine' object attribute '__dict__' is read-only"):
        mine.__setattr__(EqualToAll(), 1)
    with pytest.raises(AttributeError, match="'Mine' object attribute '__dict__' is read-only"):
        mine.__delattr__(EqualToAll())
    with pytest.raises(ZeroDivisionError):
        mine.__setattr__(Unequal(), 1)
    with pytest.raises(ZeroDivisionError):
        mine.__delattr__(Unequal())
    assert vars(mine) == {}


def test_a_subclass_of_str_is_a_name_and_stays_what_it_is(local: Any) -> None:
    class Name(str):
        __slots__ = ()

    instance = local()
    instance.__setattr__(Name("x"), 1)
    assert (instance.x, instance.__getattribute__(Name("x"))) == (1, 1)
    instance.__delattr__(Name("x"))
    with pytest.raises(AttributeError, match="read-only"):
        instance.__setattr__(Name("__dict__"), {})


def test_code_of_the_names_own_that_lets_another_thread_use_the_local_changes_nothing(local: Any) -> None:
    class Name(str):
        def __hash__(self) -> int:
            if armed:
                armed.pop()
                go.release()
                done.acquire(timeout=PATIENCE)
            return str.__hash__(self)

        __eq__ = str.__eq__

    def use_it() -> None:
        while go.acquire(timeout=PATIENCE) and not over:
            instance.x = "the other thread's"
            assert instance.x == "the other thread's"
            done.release()

    instance, armed, over = local(), [True], []
    go, done = threading.Semaphore(0), threading.Semaphore(0)
    instance.x = "mine"
    other = threading.Thread(target=use_it)
    other.start()
    try:
        seen = getattr(instance, Name("x"))
        armed.append(True)
        setattr(instance, Name("y"), "written")
    finally:
        over.append(True)
        go.release()
        other.join(PATIENCE)
    assert (seen, armed, vars(instance)) == ("mine", [], {"x": "mine", "y": "written"})


@pytest.mark.parametrize("value", [5, None, {}])
def test_what_a_local_keeps_its_dicts_in_can_be_neither_assigned_nor_deleted(local: Any, value: Any) -> None:
    instance = local()
    instance.x = 1
    before = instance._local__impl
    uses: list[Callable[[], object]] = [
        lambda: setattr(instance, "_local__impl", value),
        lambda: object.__setattr__(instance, "_local__impl", value),
        lambda: delattr(instance, "_local__impl"),
    ]
    for use in uses:
        with pytest.raises((AttributeError, TypeError), match=r"readonly attribute|can't apply this __setattr__"):
            use()
    assert instance._local__impl is before
    assert vars(instance) == {"x": 1}


def test_an_object_that_the_locals_own_new_did_not_make_is_refused(local: Any, implementation: str) -> None:
    class Mine(local):  # type: ignore[misc]
        pass

    for kind in (local, Mine):
        refusal = rf"object\.__new__\(.*{kind.__name__}\) is not safe, use .*{kind.__name__}\.__new__\(\)"
        if implementation == "c":
            with pytest.raises(TypeError, match=refusal):
                object.__new__(kind)
            continue
        made = object.__new__(kind)  # nothing can be refused here in Python
        for use in (lambda it: it.x, lambda it: setattr(it, "x", 1), lambda it: delattr(it, "x")):
            with pytest.raises(AttributeError, match=refusal):
                use(made)
