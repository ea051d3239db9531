"""The checkout that the tests run from, and copies of what git knows of it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parent.parent.parent


def tracked_files() -> list[str]:
    """The paths that git tracks and that exist. Skips the test where there is no git checkout to ask."""
    if shutil.which("git") is None or not (CHECKOUT / ".git").exists():
        pytest.skip("needs git, and a checkout that it made")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    return [name for name in listed.stdout.split("\0") if name and (CHECKOUT / name).is_file()]


def copy_tracked_files(target: Path) -> list[str]:
    """Copy what git tracks to `target`, as a fresh clone has it: nothing that a build left. Returns the paths."""
    names = tracked_files()
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(CHECKOUT / name, target / name)
    return names
