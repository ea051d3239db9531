"""The files of the live view's page: they are in the wheel, short, and need nothing from elsewhere."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parent.parent.parent
FILES = sorted((CHECKOUT / "tlctx/inspector/_page").iterdir())

each_file = pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)


def test_the_page_is_there_and_in_the_wheel() -> None:
    assert {"index.html", "page.css", "page.js"} <= {file.name for file in FILES}
    settings = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
    assert "inspector/_page/*" in settings["tool"]["setuptools"]["package-data"]["tlctx"]


@each_file
def test_a_file_is_short_and_asks_no_other_host(file: Path) -> None:
    text = file.read_text()
    assert len(text.splitlines()) <= 300
    assert set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"']*", text)) <= {"http://www.w3.org/2000/svg"}


@each_file
def test_a_file_has_nothing_that_a_strict_policy_forbids_and_makes_no_markup_from_text(file: Path) -> None:
    text = file.read_text()
    assert not re.search(r"<style|<script(?! type=\"module\" src=)|\sstyle=|\son\w+=\"|javascript:", text)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text)


def test_each_module_that_is_imported_is_there() -> None:
    names = {file.name for file in FILES}
    for file in FILES:
        assert set(re.findall(r"from \"\./([^\"]+)\"", file.read_text())) <= names, file.name
