"""The source distribution is the whole checkout, and the tests run from it."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest
from support.checkout import CHECKOUT, copy_tracked_files
from support.helpers import PATIENCE

pytestmark = [pytest.mark.packaging, pytest.mark.timeout(600)]  # building fetches the build backend

ADDED = {"PKG-INFO", "setup.cfg", "tlctx.egg-info"}
"""What the build adds at the top."""


def run(*command: str, cwd: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TLCTX_") and name != "CI"}
    ran = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=5 * PATIENCE, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A copy of the checkout as git has it, and the paths in it."""
    source = tmp_path_factory.mktemp("source")
    return source, copy_tracked_files(source)


@pytest.fixture(scope="module")
def unpacked(tracked: tuple[Path, list[str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    source, _ = tracked
    target = tmp_path_factory.mktemp("sdist")
    run(sys.executable, "-m", "build", "--no-isolation", "--sdist", f"--outdir={target}", str(source), cwd=source)
    (archive,) = target.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        opened.extractall(target, filter="data")
    return target / archive.name.removesuffix(".tar.gz")


def test_it_has_every_file_that_git_tracks(tracked: tuple[Path, list[str]], unpacked: Path) -> None:
    _, names = tracked
    assert "tlctx/__init__.py" in names
    assert [name for name in names if not (unpacked / name).is_file()] == []
    for name in names:
        assert (unpacked / name).read_bytes() == (CHECKOUT / name).read_bytes(), name


def test_it_has_no_other_file(tracked: tuple[Path, list[str]], unpacked: Path) -> None:
    _, names = tracked
    packed = {str(path.relative_to(unpacked)) for path in unpacked.rglob("*") if path.is_file()}
    assert {name for name in packed - set(names) if name.split("/")[0] not in ADDED} == set()


def test_the_unit_tests_run_from_it(unpacked: Path) -> None:
    where = run(sys.executable, "-c", "import tlctx; print(tlctx.__file__)", cwd=unpacked)
    assert Path(where.strip()).is_relative_to(unpacked)
    files = [str(path) for path in sorted(unpacked.glob("tests/unit/test_scope_*.py"))]
    command = sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files
    ran = run(*command, cwd=unpacked)
    assert " passed" in ran.splitlines()[-1]
    assert "failed" not in ran.splitlines()[-1]


def test_a_change_of_any_header_rebuilds_the_accelerator() -> None:
    (extension,) = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["tool"]["setuptools"]["ext-modules"]
    headers = {str(path.relative_to(CHECKOUT)) for path in (CHECKOUT / "tlctx").rglob("*.h")}
    assert set(extension.get("depends", [])) == headers
