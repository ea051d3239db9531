"""All the ways out of a request at once: `python tests/servers/ways.py --help`.

Flask on gunicorn's threads and Starlette on uvicorn take requests that each have a value of their own. They read it
back wherever they hand it on: in jobs and threads, in jobs that these start, in async views and all that those call, in
streamed bodies, and in tasks of Celery. It ends with status 1 if a reading was another request's, if one was missing,
or if something did not end.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

if not __package__:  # run as a command: its own folder stays off the path, where its modules would hide others
    sys.path[0] = str(Path(__file__).parent.parent)

import click
from redis import Redis
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from servers.asgi_table import uvicorn
from servers.client import Http1
from servers.running import Running, serving
from servers.server_table import TESTS, Server, gunicorn
from servers.ways_load import Client
from servers.ways_tally import FOREIGN, MISSING, Tally, split
from support.processes import stopping
from support.redis import redis_server
from support.threads import start_threads

WSGI = Server("flask", gunicorn("gthread", "--threads=8", app="servers.ways_app:application"), "gunicorn")
ASGI = Server("starlette", uvicorn("--loop=asyncio", "--http=h11", app="servers.ways_asgi:application"), "uvicorn")
CLIENTS = 8
"""Of each server."""
BACKLOG = 1000
"""How many tasks may wait for the worker before the clients do."""
EXAMPLES = 20
"""How many wrong readings are told in full; the file of numbers has more."""
LOOK = 0.2
"""Seconds between two looks at the counts."""
VALUES, OTHERS = "values", "others"
"""The columns: readings of the request's own value, and of what goes with it."""
PAIRS = (("jobs left", "jobs ended"), ("tasks sent", "tasks finished"), ("made", "closed"))
"""What has to have ended as often as it began."""


class Ways:
    """The parts that run, and what all of them have counted."""

    def __init__(self, servers: list[Running], worker: subprocess.Popen[bytes], redis: Any) -> None:
        self.servers = servers
        self.worker = worker
        self.redis = redis
        self.clients = Tally()
        self.counts: Counter[str] = Counter()
        self.examples: list[str] = []

    def look(self) -> None:
        """Ask every part for its counts."""
        if self.worker.poll() is not None:
            raise click.ClickException(f"the worker ended with status {self.worker.returncode}")
        reports = [self.clients.report(), report_of_worker(self.redis), *map(report_of, self.servers)]
        self.counts = sum((Counter(report["counts"]) for report in reports), Counter())
        self.examples = [example for report in reports for example in report["examples"]]

    def by_place(self) -> dict[str, Counter[str]]:
        """For each place: how many values were read there, other readings, and how many of all were wrong, and how."""
        places: dict[str, Counter[str]] = defaultdict(Counter)
        for name, number in self.counts.items():
            outcome, place, aspect = split(name)
            if place:
                places[place][OTHERS if aspect else VALUES] += number
                places[place][outcome] += number
        return places

    def total(self, column: str) -> int:
        return sum(counts[column] for counts in self.by_place().values())

    @property
    def values(self) -> int:
        return self.total(VALUES)

    @property
    def unfinished(self) -> list[str]:
        return [
            f"{self.counts[begun]} {begun}, {self.counts[ended]} {ended}"
            for begun, ended in PAIRS
            if self.counts[begun] != self.counts[ended]
        ]

    @property
    def backlog(self) -> int:
        return self.counts["tasks sent"] - self.counts["tasks finished"]


def report_of(running: Running) -> Any:
    with Http1(running.port) as connection:
        answer = connection.ask("/report", close=True)
    assert answer.status == 200, f"{running.server} does not report: {answer}\n{running.log}"
    return json.loads(answer.body)


def report_of_worker(redis: Any) -> Any:
    """What `ways_tasks` has put into Redis."""
    counts = {name: int(number) for name, number in redis.hgetall("ways:counts").items()}
    return {"counts": counts, "examples": redis.lrange("ways:examples", 0, -1)}


@contextlib.contextmanager
def running(middleware: str, pool: str) -> Iterator[Ways]:
    """Redis, a worker of Celery, and both servers."""
    with redis_server() as port, contextlib.ExitStack() as stack:
        url = f"redis://127.0.0.1:{port}/0"
        worker = stack.enter_context(working(url, middleware, pool))
        servers = [stack.enter_context(serving(server, middleware, WAYS_REDIS=url)) for server in (WSGI, ASGI)]
        redis = stack.enter_context(Redis.from_url(url, decode_responses=True))
        yield Ways(servers, worker, redis)


@contextlib.contextmanager
def working(url: str, middleware: str, pool: str) -> Iterator[subprocess.Popen[bytes]]:
    variables = {"WAYS_REDIS": url, "FAULTS_MIDDLEWARE": middleware, "PYTHONWARNINGS": "ignore"}
    command = ["-m", "celery", "-A", "servers.ways_tasks", "worker", f"--pool={pool}", "--concurrency=4"]
    quiet = ["--loglevel=critical", "--without-gossip", "--without-mingle", "--without-heartbeat"]
    process = subprocess.Popen(
        [sys.executable, *command, *quiet], cwd=TESTS, env={**os.environ, **variables}, stdout=subprocess.DEVNULL
    )
    with stopping(process):
        yield process


def load(ways: Ways, values: int, seconds: float, progress: Progress) -> None:
    """Have many clients ask until so many values were read, or the time is over; then wait for what has not ended."""
    bar = progress.add_task("starting", total=values)
    deadline = time.monotonic() + seconds
    go, enough = threading.Event(), threading.Event()
    threads = start_threads(
        partial(Client(f"{running.server}-{number}", running.port, ways.clients).run, go, enough.is_set)
        for running in ways.servers
        for number in range(CLIENTS)
    )
    try:
        while ways.values < values and time.monotonic() < deadline:
            (go.clear if ways.backlog > BACKLOG else go.set)()
            time.sleep(LOOK)
            ways.look()
            show(ways, progress, bar)
    finally:
        enough.set()
        go.set()
        for thread in threads:
            thread.join()
    ways.look()
    while ways.unfinished and time.monotonic() < deadline:
        time.sleep(LOOK)
        ways.look()
    show(ways, progress, bar)


def show(ways: Ways, progress: Progress, bar: Any) -> None:
    requests = ways.counts["requests"]
    progress.update(bar, completed=ways.values, description=f"{requests:,} requests, {ways.values:,} values")


def table(ways: Ways) -> Table:
    """One line for each place."""
    columns = (VALUES, OTHERS, FOREIGN, MISSING)
    result = Table("read in", *columns)
    for place, counts in sorted(ways.by_place().items()):
        result.add_row(place, *(f"{counts[column]:,}" for column in columns))
    result.add_section()
    result.add_row("all", *(f"{ways.total(column):,}" for column in columns))
    return result


def summary(ways: Ways, seconds: float) -> str:
    requests, tasks = ways.counts["requests"], ways.counts["tasks finished"]
    return (
        f"{ways.values:,} values and {ways.total(OTHERS):,} other readings in {requests:,} requests and "
        f"{tasks:,} tasks: {ways.total(FOREIGN):,} foreign, {ways.total(MISSING):,} missing, {seconds:.0f} s"
    )


@click.command(help=__doc__)
@click.option("--values", default=100_000, show_default=True, help="How many to read, at least.")
@click.option("--minutes", default=15.0, show_default=True, help="When to give up.")
@click.option("--middleware", type=click.Choice(["tlctx", "naive", "global"]), default="tlctx", show_default=True)
@click.option(
    "--pool", type=click.Choice(["threads", "prefork"]), default="threads", show_default=True, help="The worker's."
)
@click.option("--json", "numbers", type=click.Path(path_type=Path), help="Where to write every number.")
def main(values: int, minutes: float, middleware: str, pool: str, numbers: Path | None) -> None:
    if shutil.which("redis-server") is None:
        raise click.ClickException("there is no redis-server: Debian's package is named redis-server")
    began = time.monotonic()
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with running(middleware, pool) as ways, Progress(*columns) as progress:
        load(ways, values, minutes * 60, progress)
    Console().print(table(ways))
    click.echo(summary(ways, time.monotonic() - began))
    for line in (*(f"not ended: {each}" for each in ways.unfinished), *ways.examples[:EXAMPLES]):
        click.echo(line)
    if numbers is not None:
        numbers.write_text(json.dumps({"counts": ways.counts, "examples": ways.examples}, indent=1))
    short = ways.values < values
    sys.exit(bool(short or ways.unfinished or ways.total(FOREIGN) or ways.total(MISSING)))


if __name__ == "__main__":
    main()
