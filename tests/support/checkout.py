"""The checkout that the tests are in, which may be one without git and on a machine without a C compiler."""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
from pathlib import Path

from support.helpers import missing

CHECKOUT = Path(__file__).resolve().parent.parent.parent
SOURCES = (
    "pyproject.toml",
    "MANIFEST.in",
    "README.md",
    "LICENSE",
    "CHANGELOG.md",
    "tlctx",
    "tests",
    "examples",
    "docs",
)
"""What a distribution is built from, as far as it is here."""
IGNORED = ("__pycache__", "*.so", "*.pyd", "*.sqlite3*", ".*_cache")


def tracked_files() -> list[str]:
    """The paths that git tracks and that exist. Skips the test where there is no git checkout to ask."""
    if shutil.which("git") is None or not (CHECKOUT / ".git").exists():
        missing("a git checkout, and git")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    return [name for name in listed.stdout.split("\0") if name and (CHECKOUT / name).is_file()]


def copy_tracked_files(target: Path) -> list[str]:
    """Copy what git tracks to `target`, as a fresh clone has it: nothing that a build left. Returns the paths."""
    names = tracked_files()
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(CHECKOUT / name, target / name)
    return names


def copy_sources(target: Path) -> None:
    """Copy what a distribution is built from, without what was built."""
    for name in SOURCES:
        source = CHECKOUT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns(*IGNORED))
        elif source.exists():
            shutil.copy(source, target / name)


def need_compiler() -> None:
    """Skip the test where there is no C compiler."""
    command = os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"
    if shutil.which(command.split()[0]) is None:
        missing("a C compiler")
