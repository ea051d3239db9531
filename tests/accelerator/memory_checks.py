"""Looks for lost references and stray memory accesses in the C accelerator: `python memory_checks.py --help`.

Three checks. *Leaks*: each workload is repeated, and neither the interpreter's count of memory blocks nor the reference
counts of what the extension shares may grow with the repetitions. *Tests*: each unit test that runs on the accelerator
is repeated in the same way. *Sanitizers*: the extension is compiled with AddressSanitizer and UBSan into a copy of the
package, and the same tests run there.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

if not __package__:  # run as a command: its own folder stays off the path, where its modules would hide others
    sys.path[0] = str(Path(__file__).parent.parent)

import click
import pytest
from accelerator.leak_workloads_elsewhere import WORKLOADS
from rich.console import Console
from rich.progress import track
from rich.table import Table
from support.growth import ROUNDS, Growth, Repeating, growth_of

import tlctx

CHECKOUT = Path(__file__).parent.parent.parent
TESTS = ("test_local*", "test_scope*", "test_binding*", "test_context*", "test_per_request*", "test_wsgi*")
"""The names of the tests of everything that the accelerator is part of."""
OFTEN = 10
"""Repetitions of a test, in each round."""
FREED_BY_NOBODY = {
    "test_a_scope_is_bound_where_threads_now_have_their_data": (
        "each run puts a class of its own in the place of threading.local, and the storage made of each is kept"
    ),
    "test_what_a_finalizer_stores_when_the_threads_storage_has_gone_does_not_pile_up": (
        "the interpreter makes a thread's storage anew for what asks after its end, and does not free that again"
    ),
}
"""Tests that leave something which is no leak of ours, and why."""
OPTIONS = ("-p", "no:cacheprovider", "-p", "accelerator.compiled_only")
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer")


class CheckError(Exception):
    """A check could not be made."""


def find_tests(*names: str) -> list[str]:
    """The files of unit tests, and of the accelerator's, with these names. Raises CheckError where there is none."""
    found = [
        str(path)
        for name in names
        for folder in ("unit", "accelerator")
        for path in sorted((CHECKOUT / "tests" / folder).glob(f"{name}.py"))
    ]
    if not found:
        raise CheckError(f"no tests are named {names}")
    return found


def sanitized_copy(target: Path) -> Path:
    """A copy of the package in `target`, its extension compiled for the sanitizers. Raises CheckError if that fails."""
    package = target / "tlctx"
    shutil.copytree(CHECKOUT / "tlctx", package, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    extension = package / "_core" / f"_accelerator{sysconfig.get_config_var('EXT_SUFFIX')}"
    compile_sanitized(package / "_core" / "_c" / "module.c", extension)
    return target


def compile_sanitized(source: Path, target: Path) -> None:
    include = f"-I{sysconfig.get_paths()['include']}"
    command = ["gcc", "-shared", "-fPIC", "-g", "-O1", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror"]
    command += ["-Wno-cast-function-type", *SANITIZERS, include, str(source), "-o", str(target)]
    compiled = subprocess.run(command, capture_output=True, text=True, check=False)
    if compiled.returncode:
        raise CheckError(compiled.stderr)


def runtime() -> str:
    """The libraries to load before the interpreter. Raises CheckError if they are not installed."""
    if shutil.which("gcc") is None:
        raise CheckError("gcc is not installed")
    found = []
    for name in ("libasan.so", "libubsan.so"):
        path = subprocess.run(["gcc", f"-print-file-name={name}"], capture_output=True, text=True, check=True).stdout
        if not Path(path.strip()).is_absolute():
            raise CheckError(f"{name} is not installed")
        found.append(path.strip())
    return " ".join(found)


def run_sanitized(command: list[str], path: Path) -> subprocess.CompletedProcess[str]:
    """Run Python with the sanitizers' runtime, and what lies in `path` before all else."""
    environment = {
        **os.environ,
        "LD_PRELOAD": runtime(),
        "ASAN_OPTIONS": "detect_leaks=0",  # the interpreter keeps much until the process ends
        "PYTHONMALLOC": "malloc",  # or freed objects would stay in the interpreter's own pools
        "PYTHONPATH": os.pathsep.join([str(path), str(CHECKOUT / "tests")]),
        "PYTHONSAFEPATH": "1",  # and not the package in the current directory
    }
    return subprocess.run(
        [sys.executable, *command], cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False
    )


def sanitize(tests: list[str]) -> str:
    """Run these files under the sanitizers. Returns pytest's last line; raises CheckError if anything is found."""
    runtime()  # or nothing below can run
    with tempfile.TemporaryDirectory() as directory:
        path = sanitized_copy(Path(directory))
        where = [
            "-c",
            "import tlctx._core._accelerator as c, sys; sys.exit(not c.__file__.startswith(sys.argv[1]))",
            directory,
        ]
        if run_sanitized(where, path).returncode:
            raise CheckError("another build of the extension is loaded in place of the sanitized one")
        result = run_sanitized(["-m", "pytest", "-q", *OPTIONS, *tests], path)
    if result.returncode or "AddressSanitizer" in result.stderr or "runtime error" in result.stderr:
        raise CheckError(result.stdout[-5000:] + result.stderr[-5000:])
    return result.stdout.splitlines()[-1]


def look_for_leaks(repetitions: int) -> list[Growth]:
    jobs = track(WORKLOADS.items(), f"each workload {repetitions} times, up to {ROUNDS} rounds")
    logger = logging.getLogger("tlctx")
    logger.disabled = True  # the workloads drop bodies, and it would log each
    try:
        return [growth_of(name, workload, repetitions) for name, workload in jobs]
    finally:
        logger.disabled = False


def look_for_leaks_in_tests(tests: list[str]) -> list[Growth]:
    """What each test leaves. Raises CheckError if one fails."""
    repeating = Repeating(OFTEN)
    if pytest.main([*OPTIONS, "--timeout=600", *tests], plugins=[repeating]):
        raise CheckError("a test fails when it is repeated")
    return [growth for growth in repeating.leaks if not any(name in growth.workload for name in FREED_BY_NOBODY)]


@click.command(help=__doc__)
@click.option("--repetitions", default=1000, show_default=True, help="How often each workload runs, in each round.")
@click.option("--tests/--no-tests", default=True, show_default=True)
@click.option("--sanitizers/--no-sanitizers", default=True, show_default=True)
def main(repetitions: int, tests: bool, sanitizers: bool) -> None:
    if tlctx.IMPLEMENTATION != "c":
        raise click.ClickException("the C accelerator is not built here")
    try:
        found = look_for_leaks(repetitions)
        in_tests = look_for_leaks_in_tests(find_tests(*TESTS)) if tests else []
        said = sanitize(find_tests(*TESTS)) if sanitizers else "not run"
    except CheckError as error:
        raise click.ClickException(str(error)) from error
    table = Table("repeated", "grows by, each time")
    for growth in found + in_tests:
        table.add_row(growth.workload, f"[red]{growth}[/]" if growth.leaks else str(growth))
    Console().print(table)
    if tests:
        click.echo(f"tests that leave something: {len(in_tests)}")
    click.echo(f"under AddressSanitizer and UBSan: {said}")
    sys.exit(any(growth.leaks for growth in found + in_tests))


if __name__ == "__main__":
    main()
