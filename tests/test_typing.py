"""The types that an editor shows: `typing/` is checked by mypy as the users of the installed package check theirs."""

from __future__ import annotations

from pathlib import Path

import pytest
from mypy import api

CASES = sorted((Path(__file__).parent / "typing").glob("*.py"))


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_the_types_are_what_the_case_says(case: Path, tmp_path: Path) -> None:
    options = ["--strict", "--config-file=", f"--cache-dir={tmp_path}", str(case)]
    output, errors, status = api.run(options)
    assert (status, errors) == (0, ""), output
