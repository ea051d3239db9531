"""How tlctx compares with what a user would pick instead: `python tests/benchmarks/compare.py --help`.

Every figure is ours over theirs, of two sides that are measured in turn in one run, without the floor that both stand
on: the median of the rounds, for the compiled twin and for the one in Python. Each job runs in a process of its own, so
that what one rival imports does not disturb another. A full run takes eight minutes or so.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if not __package__:  # run as a command: its own folder stays off the path, where its modules would hide others
    sys.path[0] = str(Path(__file__).parent.parent)

import click
from benchmarks.chart import draw
from benchmarks.report import TWINS, as_json, machine, merge, table, versions
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from benchmarks.measure import Job

GROUPS = ("attributes", "threads", "middleware", "servers", "memory")
WORKER = Path(__file__).parent / "worker.py"
LIMIT = 300.0
"""Seconds after which a job is ended."""
WIDTH = 128  # of the table, at least


class JobError(Exception):
    """A job ended without its rows."""


def environment(twin: str) -> dict[str, str]:
    return {**os.environ, "TLCTX_PURE_PYTHON": "1" if twin == "python" else ""}


def twins_here() -> list[str]:
    """The compiled twin, if it was built, and the one in Python."""
    probe = [sys.executable, "-c", "import tlctx; print(tlctx.IMPLEMENTATION)"]
    found = subprocess.run(probe, env=environment("c"), capture_output=True, text=True, check=True, timeout=LIMIT)
    return [twin for twin in TWINS if twin in (found.stdout.strip(), "python")]


def rows_of(group: str, job: Job, twin: str, *, quick: bool) -> list[dict[str, Any]]:
    """What the job's process prints. Raises JobError if it fails, takes too long or ran another twin."""
    command = [sys.executable, str(WORKER), group, job.name, *(["--quick"] if quick else [])]
    process = subprocess.Popen(
        command,
        env=environment(twin),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        output, errors = process.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        raise JobError(f"took more than {LIMIT:.0f} s") from None
    finally:
        with contextlib.suppress(ProcessLookupError):  # it has ended, or ends here, with all that it has started
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    rows = [{"group": group, **json.loads(line)} for line in output.splitlines()]
    if process.returncode or any(row["implementation"] != twin for row in rows):
        raise JobError(f"ended with status {process.returncode}\n{errors}")
    return rows


def measure(groups: tuple[str, ...], twins: list[str], *, quick: bool) -> tuple[list[dict[str, Any]], list[str]]:
    """All rows of the groups, and what failed."""
    jobs = [(group, job) for group in groups for job in importlib.import_module(f"benchmarks.{group}").JOBS]
    rows: list[dict[str, Any]] = []
    failures = []
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns) as progress:
        task = progress.add_task("", total=sum(job.seconds for _, job in jobs) * len(twins))
        for group, job in jobs:
            for twin in twins:
                progress.update(task, description=f"{group}: {job.name}, {TWINS[twin]}")
                try:
                    rows += rows_of(group, job, twin, quick=quick)
                except JobError as error:
                    failures.append(f"{group}: {job.name}, {TWINS[twin]}: {error}")
                progress.advance(task, job.seconds)
    return rows, failures


def about() -> str:
    here = machine()
    return f"{here['interpreter']} {here['python']}, {here['architecture']}, {here['cpus']} CPUs"


@click.command(help=__doc__)
@click.option("--only", "groups", multiple=True, type=click.Choice(GROUPS), default=GROUPS, show_default=True)
@click.option("--quick", is_flag=True, help="Tiny counts, to see that it works: the figures mean nothing.")
@click.option("--json", "numbers", type=click.Path(path_type=Path), help="Where to write every number.")
@click.option("--chart", type=click.Path(path_type=Path), help="Where to draw the ratios, as SVG.")
def main(groups: tuple[str, ...], quick: bool, numbers: Path | None, chart: Path | None) -> None:  # noqa: FBT001
    twins = twins_here()
    rows, failures = measure(groups, twins, quick=quick)
    comparisons = merge(rows)
    console = Console(width=max(WIDTH, Console().width))
    console.print(table(comparisons))
    rivals = ", ".join(f"{name} {version}" for name, version in versions().items() if version)
    console.print(f"\n{about()}; {rivals}", highlight=False)
    if "c" not in twins:
        console.print("The compiled twin is not built here, so its columns are empty.")
    if numbers is not None:
        result = as_json(comparisons, quick=quick, twins=twins, failures=failures)
        numbers.write_text(json.dumps(result, indent=1) + "\n")
    if chart is not None:
        draw(comparisons, chart, about())
    for failure in failures:
        click.echo(failure, err=True)
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
