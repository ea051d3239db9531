"""The README is true: its examples run, its commands are one line each, its links lead somewhere."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from support.helpers import run_program

README = Path(__file__).parent.parent.parent / "README.md"
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README.read_text(), re.DOTALL)
EXAMPLES = [code for language, code in BLOCKS if language == "python"]
COMMANDS = [code.strip() for language, code in BLOCKS if language == "sh"]


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_every_example_runs_by_itself(number: int) -> None:
    run_program(EXAMPLES[number])


def test_a_runnable_example_is_on_the_first_screen() -> None:
    lines = README.read_text().splitlines()
    assert lines.index("```python") < 10
    assert lines.index("```") < 40


def test_it_is_short() -> None:
    assert len(README.read_text().splitlines()) <= 150


def test_there_are_two_commands_of_one_line_each_that_set_up_all_they_need() -> None:
    start, test = COMMANDS
    for command in (start, test):
        assert "\n" not in command
        assert command.startswith("python3 -m venv .venv && .venv/bin/pip install ")
    assert "gunicorn" in start
    assert test.endswith("-m pytest -p xdist -n 2 --dist loadfile")


def test_it_says_how_to_install_from_a_checkout_as_it_is_on_no_index() -> None:
    text = README.read_text()
    assert "`pip install .`" in text
    assert "pip install tlctx" not in text


def test_no_page_tells_users_to_install_from_an_index() -> None:
    pages = [page for folder in ("docs", "examples") for page in (README.parent / folder).rglob("*.md")]
    assert len(pages) > 15
    assert not [page.name for page in (README, *pages) if re.search(r"pip install ['\"]?tlctx", page.read_text())]


def test_every_link_to_a_file_leads_to_one() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README.read_text()):
        assert (README.parent / target).exists(), target


def test_it_names_the_python_that_it_runs_on() -> None:
    assert "Python 3.11 or newer" in README.read_text()
    assert sys.version_info >= (3, 11)


def test_nothing_in_it_waits_to_be_filled_in() -> None:
    assert not re.search(r"^[A-Z]{3,}$", README.read_text().replace("\nMIT\n", "\n"), re.MULTILINE)
