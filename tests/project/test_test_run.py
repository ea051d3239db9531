"""The tests themselves: each test of behaviour runs on both implementations, and no module is long."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.both import COPIES
from support.helpers import PATIENCE

TESTS = Path(__file__).resolve().parent.parent
FILE = "tests/unit/test_local_errors.py"
TEST = "test_a_hook_that_raises_is_an_error_after_the_one_it_was_told_of"

needs_both = pytest.mark.skipif(len(COPIES) < 2, reason="needs both implementations")


def collected(*arguments: str, **environment: str) -> list[str]:
    """The ids of the tests that these arguments choose."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *arguments]
    run = subprocess.run(
        command,
        cwd=TESTS.parent,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
    )
    return re.findall(r"^tests/.*$", run.stdout, flags=re.MULTILINE)


@needs_both
def test_an_id_names_the_implementation_and_chooses_the_test() -> None:
    both = [f"{FILE}::{name}::{TEST}" for name in ("c", "python")]
    assert collected(FILE, "-k", TEST) == both
    assert collected(*both) == both
    assert collected(both[1]) == both[1:]


@needs_both
@pytest.mark.parametrize("name", ["c", "python"])
def test_one_implementation_can_be_chosen(name: str) -> None:
    assert collected(FILE, "-k", TEST, f"--implementation={name}") == [f"{FILE}::{name}::{TEST}"]


def test_where_the_pure_implementation_is_asked_for_it_is_the_only_one() -> None:
    assert collected(FILE, "-k", TEST, TLCTX_PURE_PYTHON="1") == [f"{FILE}::python::{TEST}"]


def test_no_module_of_the_tests_has_more_than_300_lines() -> None:
    lines = {str(path.relative_to(TESTS)): len(path.read_text().splitlines()) for path in TESTS.rglob("*.py")}
    assert {name: count for name, count in lines.items() if count > 300} == {}
