"""The wheel that users install: small, complete, and at work without the checkout."""

from __future__ import annotations

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
from helpers import PATIENCE

pytestmark = pytest.mark.timeout(600)  # building fetches the build backend

CHECKOUT = Path(__file__).parent.parent


def run(*command: str, cwd: Path) -> str:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=True, timeout=5 * PATIENCE).stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("dist")
    source = tmp_path_factory.mktemp("source")
    tracked = run("git", "ls-files", "--cached", "--others", "--exclude-standard", cwd=CHECKOUT).splitlines()
    for name in tracked:
        if (CHECKOUT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((CHECKOUT / name).read_bytes())
    run(sys.executable, "-m", "build", "--wheel", f"--outdir={target}", str(source), cwd=source)
    (built,) = target.glob("*.whl")
    return built


def test_it_holds_the_package_whole_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    package = {
        str(path.relative_to(CHECKOUT))
        for path in (CHECKOUT / "tlctx").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name for name in names if ".dist-info/" not in name} == package
    assert "tlctx/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_its_core_needs_nothing(wheel: Path) -> None:
    (metadata,) = (name for name in zipfile.ZipFile(wheel).namelist() if name.endswith("METADATA"))
    lines = zipfile.ZipFile(wheel).read(metadata).decode().splitlines()
    assert [line for line in lines if line.startswith("Requires-Dist") and "extra ==" not in line] == []
    assert "Requires-Python: >=3.11" in lines


def test_it_works_in_an_empty_environment_without_the_checkout(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    python = str(tmp_path / "venv" / "bin" / "python")
    run(
        python, "-m", "pip", "install", "--quiet", "--no-index", "--disable-pip-version-check", str(wheel), cwd=tmp_path
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
    assert printed.startswith("python [b'ann'] " + str(tmp_path))
    assert printed.endswith("\nflask\n")
