"""A soak: mixed load, one request in twenty with a fault, for a long time: `python tests/servers/soak.py --help`.

It counts answers that were somebody else's, values that were left on a thread, scopes that stayed open, and watches the
server's memory. It ends with status 1 if anything was left, or somebody saw what was not theirs.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

if not __package__:  # run as a command: its own folder stays off the path, where its modules would hide others
    sys.path[0] = str(Path(__file__).parent.parent)

import click
import psutil
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from servers.client import Http1
from servers.running import Running, serving, until
from servers.server_table import Server, gunicorn
from servers.soak_load import Client
from support.threads import start_threads

APP = "servers.soak_app:application"
OPTIONS = ("--log-level=critical", "--max-requests=0")
SERVERS = {
    "gthread": Server("gthread", gunicorn("gthread", "--threads=4", *OPTIONS, app=APP), "gunicorn"),
    "gevent": Server("gevent", gunicorn("gevent", *OPTIONS, app=APP), "gunicorn"),
}
CLIENTS = 8
SAMPLES = 240  # of the memory, in a run


@dataclass
class Report:
    """The result of a soak on one server. Memory in MB, time in seconds."""

    server: str
    seconds: float = 0.0
    requests: int = 0
    faults: int = 0
    foreign: int = 0
    unanswered: int = 0
    residues: int = 0
    opened: int = 0
    closed: int = 0
    open_scopes: int = 0
    dropped_bodies: int = 0
    failed_teardowns: int = 0
    unleft_scopes: int = 0
    memory: list[tuple[float, int, float]] = field(default_factory=list)
    """At each moment: the seconds since the start, the requests so far, the resident memory."""
    examples: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not (self.foreign or self.residues or self.open_scopes or self.opened != self.closed)

    def level(self, begin: float, end: float) -> float:
        """The median memory between two fractions of the run."""
        samples = [memory for _, _, memory in self.memory]
        return statistics.median(samples[int(begin * len(samples)) : max(1, int(end * len(samples)))] or samples)


def soak(server: Server, middleware: str, seconds: float, faults: float, progress: Progress) -> Report:
    """Load one server for this many seconds."""
    report = Report(server.name)
    task = progress.add_task(server.name, total=seconds)
    with serving(server, middleware) as running:
        clients = [Client(number, running.port, faults) for number in range(CLIENTS)]
        began = time.monotonic()

        def stopped() -> bool:
            return time.monotonic() - began > seconds

        threads = start_threads(partial(client.run, stopped) for client in clients)
        while any(thread.is_alive() for thread in threads):
            threads[0].join(seconds / SAMPLES)
            requests, passed = sum(client.tally.requests for client in clients), time.monotonic() - began
            report.memory.append((passed, requests, resident(running)))
            progress.update(task, completed=passed, description=f"{server.name}: {requests:,} requests")
        report.seconds = time.monotonic() - began
        take_counts(report, running, clients)
    return report


def resident(running: Running) -> float:
    """The resident memory of the server's worker, in MB."""
    assert running.process is not None
    workers = psutil.Process(running.process.pid).children()
    return sum(worker.memory_info().rss for worker in workers) / 2**20


def take_counts(report: Report, running: Running, clients: list[Client]) -> None:
    """Add up what the clients saw, and what the app reports when every request has ended."""
    for client in clients:
        report.requests += client.tally.requests
        report.faults += client.tally.faults
        report.foreign += client.tally.foreign
        report.unanswered += client.tally.unanswered
        report.examples += client.tally.examples[:1]
    counts: dict[str, Any] = {}

    def ended() -> bool:
        with Http1(running.port) as connection:
            counts.update(json.loads(connection.ask("/report/now", close=True).body))
        return bool(counts["opened"] == counts["closed"] and not counts["open"])

    until(ended, 5.0)
    report.residues, report.open_scopes = counts["residues"], counts["open"]
    report.opened, report.closed = counts["opened"], counts["closed"]
    report.dropped_bodies, report.failed_teardowns, report.unleft_scopes = counts["cleanups"]


def table(reports: list[Report]) -> Table:
    result = Table("", *(report.server for report in reports))
    for name in ("requests", "faults", "foreign", "residues", "open_scopes", "opened", "closed"):
        result.add_row(name.replace("_", " "), *(f"{getattr(report, name):,}" for report in reports))
    for name in ("dropped_bodies", "failed_teardowns", "unleft_scopes", "unanswered"):
        result.add_row(name.replace("_", " "), *(f"{getattr(report, name):,}" for report in reports))
    result.add_row("minutes", *(f"{report.seconds / 60:.1f}" for report in reports))
    result.add_row("requests/s", *(f"{report.requests / report.seconds:,.0f}" for report in reports))
    result.add_row("MB, second tenth", *(f"{report.level(0.1, 0.2):.1f}" for report in reports))
    result.add_row("MB, last tenth", *(f"{report.level(0.9, 1.0):.1f}" for report in reports))
    return result


def draw(reports: list[Report], path: Path) -> None:
    """Resident memory over requests, one line for each server."""
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    axes = figure.subplots()
    for report in reports:
        requests = [number / 1e6 for _, number, _ in report.memory]
        axes.plot(
            requests, [memory for _, _, memory in report.memory], label=f"gunicorn {report.server}", linewidth=1.2
        )
    axes.set(
        xlabel="million requests, one in twenty with a fault",
        ylabel="resident memory of the worker, MB",
        ylim=(0, None),
    )
    axes.grid(visible=True, alpha=0.3)
    axes.legend(loc="lower right")
    figure.savefig(path, metadata={"Date": None})


@click.command(help=__doc__)
@click.option(
    "--server", "names", multiple=True, type=click.Choice(list(SERVERS)), default=list(SERVERS), show_default=True
)
@click.option("--minutes", default=20.0, show_default=True, help="For each server.")
@click.option("--faults", default=0.05, show_default=True, help="The share of requests with a fault.")
@click.option("--middleware", type=click.Choice(["tlctx", "naive"]), default="tlctx", show_default=True)
@click.option("--picture", type=click.Path(path_type=Path), help="Where to draw the memory, as SVG.")
@click.option("--json", "numbers", type=click.Path(path_type=Path), help="Where to write every number.")
def main(
    names: tuple[str, ...], minutes: float, faults: float, middleware: str, picture: Path | None, numbers: Path | None
) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns) as progress:
        reports = [soak(SERVERS[name], middleware, minutes * 60, faults, progress) for name in names]
    Console().print(table(reports))
    for example in [example for report in reports for example in report.examples]:
        click.echo(f"somebody else's: {example}")
    if numbers is not None:
        numbers.write_text(json.dumps([asdict(report) for report in reports], indent=1))
    if picture is not None:
        draw(reports, picture)
    sys.exit(not all(report.clean for report in reports))


if __name__ == "__main__":
    main()
