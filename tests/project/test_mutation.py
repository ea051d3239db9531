"""The mutants are the changes that they should be, each of code that runs."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from mutation.mutants import Mutator
from support.checkout import CHECKOUT


def changes(source: str) -> set[str]:
    return {str(mutant) for mutant in Mutator(source).mutants()}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("made is body", {"made is body -> (made) is not (body)", "made is body -> (made) == (body)"}),
        ("x = a and b", {"a and b -> ((a) or (b))", "a and b -> ((b))", "a and b -> ((a))"}),
        ("if a: b = 1", {"a -> (not (a))", "1 -> 2"}),
        ("a.b = c", {"a.b = c -> pass"}),
        ("f()", {"f() -> pass"}),
        ("with a: b = c", {"with a -> if True"}),
        ("try:\n  a = b\nexcept BaseException:\n  a = c", {"BaseException -> ()", "BaseException -> Exception"}),
        ("with suppress(Exception): b = c", {"Exception -> BaseException", "with suppress(Exception) -> if True"}),
        ("def f():\n  return a", {"return a -> return None"}),
        ("try:\n  a = b\nfinally:\n  a = c", {"try: a = b finally: a = c -> if True: a = b if True: a = c"}),
        ("a = [b for b in c if b]", {"b -> (not (b))"}),
    ],
)
def test_the_mutants_of(source: str, expected: set[str]) -> None:
    assert changes(source) >= expected


def test_documentation_types_and_imports_are_left_as_they_are() -> None:
    source = (
        '"""Doc."""\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    f()\n\ndef g(a: 1 = None) -> 2: ...\n'
    )
    assert changes(source) == set()


def test_identity_with_none_is_not_made_equality() -> None:
    assert changes("x = a is None") == {"a is None -> (a) is not (None)"}


def test_a_mutant_changes_its_place_alone_behind_other_letters_too() -> None:
    source = "a = 'é'; b.c = 1\nd = 2\n"
    mutated = {mutant.apply(source) for mutant in Mutator(source).mutants()}
    assert mutated == {"a = 'é'; pass\nd = 2\n", "a = 'é'; b.c = 2\nd = 2\n", "a = 'é'; b.c = 1\nd = 3\n"}


def test_each_mutant_that_is_listed_as_equivalent_exists_and_has_a_reason() -> None:
    listed = tomllib.loads((CHECKOUT / "tests" / "mutation" / "equivalent.toml").read_text()).get("mutant", [])
    for mutant in listed:
        assert mutant["reason"], mutant
        assert mutant["change"] in changes(Path(CHECKOUT, mutant["file"]).read_text()), mutant
