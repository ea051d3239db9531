"""The types that an editor shows: `typing/` is checked by mypy as the users of the installed package check theirs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support.helpers import PATIENCE

pytestmark = [pytest.mark.lint, pytest.mark.timeout(300)]  # mypy starts without a cache

CASES = sorted((Path(__file__).parent / "typing").glob("*.py"))


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_the_types_are_what_the_case_says(case: Path, tmp_path: Path) -> None:
    mypy = [sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={tmp_path}", str(case)]
    check = subprocess.run(mypy, capture_output=True, text=True, timeout=2 * PATIENCE, check=False)
    assert check.returncode == 0, check.stdout + check.stderr
