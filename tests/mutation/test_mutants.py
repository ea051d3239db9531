"""The mutation run's own parts."""

from __future__ import annotations

import importlib
import sys
import textwrap
from pathlib import Path

import pytest

pytest.importorskip("cosmic_ray", reason="needs cosmic-ray")

from mutation.finder import MutantFinder
from mutation.mutants import Mutant, mutants_of

SOURCE = """
from __future__ import annotations
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    LIMIT = 1

__all__ = ["a" + "b"]

def function(value: int | None, *, flag: Literal[1] = 5) -> Literal[2]:
    "A docstring."
    result: list[3]
    if value is None:
        return 7
    return cast("a" + "b", value)
"""


def made_of(path: Path, source: str) -> list[Mutant]:
    path.write_text(textwrap.dedent(source))
    return mutants_of(path)


def changed(mutants: list[Mutant]) -> set[str]:
    return {line[1:].strip() for mutant in mutants for line in mutant.diff.splitlines() if line.startswith("+")}


def test_only_what_runs_is_changed(tmp_path: Path) -> None:
    assert changed(made_of(tmp_path / "module.py", SOURCE)) == {
        "def function(value: int | None, *, flag: Literal[1] = 6) -> Literal[2]:",
        "def function(value: int | None, *, flag: Literal[1] = 4) -> Literal[2]:",
        "if value is not None:",
        "return 8",
        "return 6",
    }


def test_an_id_stays_when_lines_move_and_no_two_are_the_same(tmp_path: Path) -> None:
    before = made_of(tmp_path / "module.py", SOURCE + "    return 7\n")
    after = made_of(tmp_path / "module.py", "# a line\n" + SOURCE + "    return 7\n")
    assert [mutant.line + 1 for mutant in before] == [mutant.line for mutant in after]
    assert [mutant.id for mutant in before] == [mutant.id for mutant in after]
    assert len({mutant.id for mutant in before}) == len(before)


def test_statements_excepts_and_finallys_are_changed(tmp_path: Path) -> None:
    source = """
    def function():
        try:
            act()
        except Exception:
            raise
        finally:
            clean()  # up
    """
    assert changed(made_of(tmp_path / "module.py", source)) == {
        "pass",
        "pass  # up",
        "except BaseException:",
        "except CosmicRayTestingException:",
        'if __import__("sys").exc_info()[1] is None:',
        "clean()  # up",
    }


def test_a_mutant_is_served_in_the_place_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "served_from_memory.py"
    path.write_text("VALUE = 'the file'\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert importlib.import_module(path.stem).VALUE == "the file"  # and now there is a .pyc
    monkeypatch.delitem(sys.modules, path.stem)
    monkeypatch.setattr(sys, "meta_path", [MutantFinder(path.stem, path, "VALUE = 'the mutant'\n"), *sys.meta_path])
    module = importlib.import_module(path.stem)
    assert (module.VALUE, module.__file__) == ("the mutant", str(path))
    monkeypatch.delitem(sys.modules, path.stem)
