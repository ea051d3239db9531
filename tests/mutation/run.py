"""Runs the tests on mutants of the code and lists those that none notices: `nox -s mutation -- --help`.

Each mutant lives in a copy of the checkout, on the pure-Python implementation, and meets the test files that run the
line it changes. Those that change nothing which can be observed are in equivalent.toml, with the reason.
"""

from __future__ import annotations

import json
import os
import queue
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import click
from mutation.mutants import Mutant, Mutator

CHECKOUT = Path(__file__).parent.parent.parent
MUTATED = ("tlctx/_core/*.py", "tlctx/_core/_py/*.py", "tlctx/wsgi.py", "tlctx/flask.py")
TESTS = ("tests/unit/test_*.py", "tests/integrations/test_*.py")
EQUIVALENT = Path(__file__).parent / "equivalent.toml"
FLOOR = 90.0
"""Per cent of the mutants that have to be caught."""


@dataclass
class TestFile:
    """A file of tests: how long it takes, and which lines of which modules it runs."""

    name: str
    seconds: float
    lines: dict[str, set[int]] = field(default_factory=dict)


def python(copy: Path, *arguments: str, limit: float) -> int | None:
    """The status that Python ends with in `copy`, or None if it takes longer than `limit`."""
    environment = {**os.environ, "TLCTX_PURE_PYTHON": "1", "PYTHONDONTWRITEBYTECODE": "1", "CI": ""}
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(
        [sys.executable, *arguments], cwd=copy, env=environment, stdout=quiet, stderr=quiet, start_new_session=True
    )
    try:
        return process.wait(limit)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


PYTEST = ("-m", "pytest", "-x", "-q", "-p", "no:cacheprovider")
UNTRACED = "not uses_the_local_when_its_thread_ends_leaves_nothing"
"""The tracer keeps something of each thread."""


def measure(copy: Path, name: str) -> TestFile:
    """Run one file of tests on unchanged code."""
    data = f"--data-file={copy / 'data'}"
    started = time.monotonic()
    status = python(copy, "-m", "coverage", "run", data, "--source=tlctx", *PYTEST, "-k", UNTRACED, name, limit=600)
    seconds = time.monotonic() - started
    if status not in (0, 5):  # 5: all of it was deselected
        raise click.ClickException(f"{name} fails on the pure-Python implementation, with no change made")
    (copy / "lines.json").unlink(missing_ok=True)
    python(copy, "-m", "coverage", "combine", data, limit=60)
    python(copy, "-m", "coverage", "json", data, "--fail-under=0", f"-o{copy / 'lines.json'}", limit=60)
    found = json.loads((copy / "lines.json").read_text())["files"] if (copy / "lines.json").exists() else {}
    return TestFile(name, seconds, {path: set(lines["executed_lines"]) for path, lines in found.items()})


def is_caught(copy: Path, path: str, mutant: Mutant, files: list[TestFile]) -> bool:
    """Whether a test fails, or hangs, on the mutant."""
    covering = sorted(
        (file for file in files if mutant.line in file.lines.get(path, ())), key=lambda file: file.seconds
    )
    if not covering:
        return False
    source = (copy / path).read_text()
    (copy / path).write_text(mutant.apply(source))
    try:
        limit = 30 + 3 * sum(file.seconds for file in covering)
        return python(copy, *PYTEST, *[file.name for file in covering], limit=limit) != 0
    finally:
        (copy / path).write_text(source)


def copies(directory: Path, number: int) -> queue.Queue[Path]:
    """Copies of the checkout for as many workers, without a compiled accelerator."""
    made: queue.Queue[Path] = queue.Queue()
    ignored = shutil.ignore_patterns(".*", "*.so", "*.pyd", "__pycache__", "build", "dist", "*.egg-info")
    for name in range(number):
        made.put(shutil.copytree(CHECKOUT, directory / str(name), ignore=ignored))
    return made


def listed() -> set[tuple[str, str]]:
    """The mutants known to be equivalent, each with its file."""
    return {(entry["file"], entry["change"]) for entry in tomllib.loads(EQUIVALENT.read_text()).get("mutant", [])}


def find(pattern: tuple[str, ...]) -> list[str]:
    return [str(path.relative_to(CHECKOUT)) for glob in pattern for path in sorted(CHECKOUT.glob(glob))]


def sampled(chosen: list[tuple[str, Mutant]], size: int) -> list[tuple[str, Mutant]]:
    return random.Random(0).sample(chosen, size) if size and size < len(chosen) else chosen


@click.command(help=__doc__)
@click.argument("modules", nargs=-1)
@click.option("--sample", default=0, help="Take so many of the mutants, always the same ones.")
@click.option("--jobs", default=os.cpu_count() or 1, show_default=True)
def main(modules: tuple[str, ...], sample: int, jobs: int) -> None:
    known = listed()
    chosen = [
        (path, mutant)
        for path in modules or find(MUTATED)
        for mutant in Mutator((CHECKOUT / path).read_text()).mutants()
        if (path, str(mutant)) not in known
    ]
    chosen = sampled(chosen, sample)
    with tempfile.TemporaryDirectory() as directory, ThreadPoolExecutor(jobs) as pool:
        free = copies(Path(directory), jobs)

        def measured(name: str) -> TestFile:
            copy = free.get()
            try:
                return measure(copy, name)
            finally:
                free.put(copy)

        def tried(of: tuple[str, Mutant]) -> bool:
            copy = free.get()
            try:
                return is_caught(copy, *of, files)
            finally:
                free.put(copy)

        files = list(pool.map(measured, find(TESTS)))
        click.echo(f"{len(files)} files of tests, {len(chosen)} mutants")
        caught = 0
        for (path, mutant), noticed in zip(chosen, pool.map(tried, chosen), strict=True):
            caught += noticed
            if not noticed:
                click.echo(f"not noticed: {path}:{mutant.line}: {mutant}")
    score = 100 * caught / max(len(chosen), 1)
    click.echo(f"{caught} of {len(chosen)} mutants caught: {score:.1f} %; {len(known)} are listed as equivalent")
    sys.exit(score < FLOOR)


if __name__ == "__main__":
    main()
