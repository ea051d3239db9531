"""How tlctx compares with what a user would pick instead: `python tests/benchmarks/compare.py --help`.

Every figure is ours over theirs, of two sides that are measured in turn in one run, without the floor that both have in
common. It is the median of the rounds, for the C accelerator and for the pure-Python implementation. Each job runs in
its own process, so that the imports of one rival do not disturb another.

A full run takes a quarter of an hour or so. `--effort=short` measures attributes and the middleware in about a minute.
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
from benchmarks.measure import EFFORTS
from benchmarks.report import IMPLEMENTATIONS, about, as_json, from_json, merge, table
from benchmarks.summary import draw_summary
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from benchmarks.measure import Job

GROUPS = ("attributes", "threads", "middleware", "asgi", "flask", "inspector", "logs", "servers", "memory")
SHORT = ("attributes", "middleware")
"""The groups of a short run, unless others are named."""
WORKER = Path(__file__).parent / "worker.py"
LIMIT = 300.0
"""Seconds after which a job is ended."""
WIDTH = 128  # of the table, at least


class JobError(Exception):
    """A job ended without its rows."""


def environment(implementation: str) -> dict[str, str]:
    return {**os.environ, "TLCTX_PURE_PYTHON": "1" if implementation == "python" else ""}


def implementations_here() -> list[str]:
    """The C accelerator, if it was built, and the pure-Python implementation."""
    probe = [sys.executable, "-c", "import tlctx; print(tlctx.IMPLEMENTATION)"]
    found = subprocess.run(probe, env=environment("c"), capture_output=True, text=True, check=True, timeout=LIMIT)
    return [implementation for implementation in IMPLEMENTATIONS if implementation in (found.stdout.strip(), "python")]


def rows_of(group: str, job: Job, implementation: str, effort: str) -> list[dict[str, Any]]:
    """The rows that the job's process prints. Raises JobError if it fails, is slow or ran another implementation."""
    command = [sys.executable, str(WORKER), group, job.name, effort]
    process = subprocess.Popen(
        command,
        env=environment(implementation),
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
    if process.returncode or any(row["implementation"] != implementation for row in rows):
        raise JobError(f"ended with status {process.returncode}\n{errors}")
    return rows


def measure(groups: tuple[str, ...], implementations: list[str], effort: str) -> tuple[list[dict[str, Any]], list[str]]:
    """All rows of the groups, and what failed."""
    jobs = [(group, job) for group in groups for job in importlib.import_module(f"benchmarks.{group}").JOBS]
    rows: list[dict[str, Any]] = []
    failures = []
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns) as progress:
        task = progress.add_task("", total=sum(job.seconds for _, job in jobs) * len(implementations))
        for group, job in jobs:
            for implementation in implementations:
                progress.update(task, description=f"{group}: {job.name}, {IMPLEMENTATIONS[implementation]}")
                try:
                    rows += rows_of(group, job, implementation, effort)
                except JobError as error:
                    failures.append(f"{group}: {job.name}, {IMPLEMENTATIONS[implementation]}: {error}")
                progress.advance(task, job.seconds)
    return rows, failures


def measured(groups: tuple[str, ...], effort: str) -> dict[str, Any]:
    """The result of a run."""
    implementations = implementations_here()
    rows, failures = measure(groups or (SHORT if effort == "short" else GROUPS), implementations, effort)
    return as_json(merge(rows), effort=effort, implementations=implementations, failures=failures)


def show(result: dict[str, Any]) -> None:
    """Print the table, and what was measured where."""
    console = Console(width=max(WIDTH, Console().width))
    console.print(table(from_json(result)))
    rivals = ", ".join(f"{name} {version}" for name, version in result["versions"].items() if version)
    console.print(f"\n{about(result)}; {rivals}", highlight=False)
    if "c" not in result["implementations"]:
        console.print("The C accelerator is not built here, so its columns are empty.")
    if result["effort"] == "trial":
        console.print("This was a trial: the figures mean nothing.")


FILE = click.Path(dir_okay=False, path_type=Path)


@click.command(help=__doc__)
@click.option("--only", "groups", multiple=True, type=click.Choice(GROUPS), help="A group to measure; may be repeated.")
@click.option(
    "--effort",
    type=click.Choice(list(EFFORTS)),
    default="full",
    show_default=True,
    help="How long to measure; a trial has tiny counts, to see that it works: its figures mean nothing.",
)
@click.option("--from-json", "saved", type=FILE, help="Measure nothing: take the numbers that --json has written.")
@click.option("--json", "numbers", type=FILE, help="Where to write every number.")
@click.option("--chart", type=FILE, help="Where to draw every ratio, as SVG.")
@click.option("--summary", type=FILE, help="Where to draw the few ratios that matter most, as SVG.")
def main(
    groups: tuple[str, ...],
    effort: str,
    saved: Path | None,
    numbers: Path | None,
    chart: Path | None,
    summary: Path | None,
) -> None:
    result = measured(groups, effort) if saved is None else json.loads(saved.read_text())
    show(result)
    if numbers is not None:
        numbers.write_text(json.dumps(result, indent=1) + "\n")
    if chart is not None:
        draw(from_json(result), chart, about(result))
    if summary is not None:
        draw_summary(from_json(result), summary, about(result))
    for failure in result["failures"]:
        click.echo(failure, err=True)
    sys.exit(bool(result["failures"]))


if __name__ == "__main__":
    main()
