"""The wheel that users install: small, complete, and at work without the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest
from support.checkout import copy_sources, need_compiler
from support.helpers import PATIENCE

pytestmark = [pytest.mark.packaging, pytest.mark.timeout(600)]  # it compiles several times


EXTENSION = f"tlctx/_core/_accelerator{sysconfig.get_config_var('EXT_SUFFIX')}"


def run(*command: str, cwd: Path, **environment: str) -> str:
    return _run(*command, cwd=cwd, check=True, **environment).stdout


def _run(*command: str, cwd: Path, check: bool, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TLCTX_")}
    return subprocess.run(
        command,
        cwd=cwd,
        env={**kept, **environment},
        capture_output=True,
        text=True,
        check=check,
        timeout=5 * PATIENCE,
    )


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("source")
    copy_sources(target)
    return target


def build(source: Path, target: Path, **environment: str) -> Path:
    """The wheel that `source` makes."""
    run(
        sys.executable,
        "-m",
        "build",
        "--no-isolation",
        "--wheel",
        f"--outdir={target}",
        str(source),
        cwd=source,
        **environment,
    )
    (built,) = target.glob("*.whl")
    return built


def names_in(wheel: Path) -> set[str]:
    return {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    need_compiler()
    return build(source, tmp_path_factory.mktemp("dist"), TLCTX_REQUIRE_C="1", CFLAGS="-O0")  # it compiles in less time


def package_in(source: Path) -> set[str]:
    return {
        str(path.relative_to(source))
        for path in (source / "tlctx").rglob("*")
        if path.is_file() and path.suffix not in (".c", ".h", ".pyc")
    }


def test_it_holds_the_package_whole_and_nothing_else(wheel: Path, source: Path) -> None:
    package = package_in(source)
    assert names_in(wheel) == {*package, EXTENSION}
    assert "tlctx/py.typed" in package
    assert any(name.endswith("licenses/LICENSE") for name in zipfile.ZipFile(wheel).namelist())


def test_without_a_compiler_it_is_built_without_the_c_accelerator(source: Path, tmp_path: Path) -> None:
    assert names_in(build(source, tmp_path, CC="no-compiler-of-this-name")) == package_in(source)


def test_one_variable_builds_it_without_the_c_accelerator(source: Path, tmp_path: Path) -> None:
    assert names_in(build(source, tmp_path, TLCTX_PURE_PYTHON="1")) == package_in(source)


@pytest.mark.parametrize(
    ("told", "environment"),
    [
        ("no-compiler-of-this-name", {"CC": "no-compiler-of-this-name"}),
        ("PURE_PYTHON is set", {"TLCTX_PURE_PYTHON": "1"}),
    ],
)
def test_another_makes_a_build_fail_that_can_not_have_it(
    source: Path, tmp_path: Path, told: str, environment: dict[str, str]
) -> None:
    command = sys.executable, "-m", "build", "--no-isolation", "--wheel", f"--outdir={tmp_path}", str(source)
    failed = _run(*command, cwd=source, check=False, TLCTX_REQUIRE_C="1", **environment)
    assert failed.returncode != 0
    assert told in failed.stdout + failed.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_source_distribution_can_build_it(source: Path, tmp_path: Path) -> None:
    run(sys.executable, "-m", "build", "--no-isolation", "--sdist", f"--outdir={tmp_path}", str(source), cwd=source)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    needed = {"_build.py", "_core/_c/module.c", "_core/_c/cache.h", "_core/_accelerator.pyi"}
    assert {"pyproject.toml", *(f"tlctx/{name}" for name in needed)} <= names


def test_its_core_needs_nothing(wheel: Path) -> None:
    (metadata,) = (name for name in zipfile.ZipFile(wheel).namelist() if name.endswith("METADATA"))
    lines = zipfile.ZipFile(wheel).read(metadata).decode().splitlines()
    assert [line for line in lines if line.startswith("Requires-Dist") and "extra ==" not in line] == []
    assert "Requires-Python: >=3.11" in lines


def test_it_works_in_an_empty_environment_without_the_checkout(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=False)
    python = str(tmp_path / "venv" / "bin" / "python")
    run(
        sys.executable,
        "-m",
        "pip",
        f"--python={python}",
        "install",
        "--quiet",
        "--no-index",
        "--disable-pip-version-check",
        str(wheel),
        cwd=tmp_path,
    )
    program = """
import tlctx
app = tlctx.ContextMiddleware(lambda environ, start: [tlctx.ctx.user], tlctx.ctx, lambda environ: {"user": b"ann"})
print(tlctx.IMPLEMENTATION, app({}, None), tlctx.__file__)
try:
    import tlctx.flask
except ModuleNotFoundError as error:
    print(error.name)
"""
    printed = run(python, "-c", program, cwd=tmp_path)
    assert printed.startswith("c [b'ann'] " + str(tmp_path))
    assert printed.endswith("\nflask\n")
    chosen = run(python, "-c", program, cwd=tmp_path, TLCTX_PURE_PYTHON="1")
    assert chosen.startswith("python [b'ann'] " + str(tmp_path))
