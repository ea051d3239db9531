"""Load: many users at once, each checking that every answer is their own.

`python examples/notebook/load.py` starts a server of its own, with a database that is thrown away afterwards.
`--unsafe` has it keep the user in a module global instead of a context, to show what comes of it.
"""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING

import click
import httpx
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Report", "run_load", "serving"]

HERE = Path(__file__).resolve().parent
PASSWORD = "correct horse battery"
QUESTIONS = ("write", "page", "list", "search", "read", "export", "page", "list", "search", "read")
EXAMPLES = 3

Step = Callable[[], object]
Watch = Callable[[str, int], Step]


@dataclass
class Report:
    """What came of it."""

    users: int
    requests: int = 0
    foreign: int = 0
    failed: int = 0
    seconds: float = 0.0
    examples: list[str] = field(default_factory=list)

    def tell(self, example: str) -> None:
        """Keep what went wrong, if it is among the first."""
        if len(self.examples) < EXAMPLES:
            self.examples.append(example)


class Reader:
    """A user, whose name is in everything that is theirs and in nothing that is somebody else's."""

    def __init__(self, run: str, number: int, client: httpx.AsyncClient, report: Report) -> None:
        self.name = f"{run}-{number}"
        self.client = client
        self.report = report
        self.names = re.compile(rf"{run}-\d+")
        self.latest = "/api/notes"
        self.token = ""

    async def sign_up_and_in(self, step: Step) -> None:
        """Open an account in one session, and sign in with another."""
        await self._send_form("/sign-up")
        self.client.cookies.clear()
        await self._send_form("/sign-in")
        self.token = await self._fetch_token()
        step()

    async def ask(self, count: int, step: Step) -> None:
        """Ask for this and that, and look at each answer."""
        for question in islice(cycle(QUESTIONS), count):
            try:
                self._check(question, await self._answer(question))
            except httpx.HTTPError as error:
                self.report.failed += 1
                self.report.tell(f"{self.name} got no answer to {question!r}: {error!r}")
            self.report.requests += 1
            step()

    async def _answer(self, question: str) -> httpx.Response:
        match question:
            case "write":
                note = {"title": f"A note of {self.name}", "body": f"Only {self.name} should ever see it."}
                return await self.client.post("/api/notes", json=note, headers={"X-CSRF-Token": self.token})
            case "page":
                return await self.client.get("/")
            case "search":
                return await self.client.get("/", params={"q": "NOTE OF"})
            case "export":
                return await self.client.get("/notes.csv")
            case "read":
                return await self.client.get(self.latest)
        return await self.client.get("/api/notes")

    def _check(self, question: str, answer: httpx.Response) -> None:
        names = set(self.names.findall(answer.text))
        others = sorted(names - {self.name})
        if others:
            self.report.foreign += 1
            self.report.tell(f"{self.name} asked to {question!r} and saw {', '.join(others[:3])}")
        elif self.name not in names:
            self.report.failed += 1
            self.report.tell(f"{self.name} asked to {question!r} and got a {answer.status_code}")
        elif question == "write":
            self.latest = answer.headers["Location"]

    async def _send_form(self, path: str) -> None:
        form = {"name": self.name, "password": PASSWORD, "csrf_token": await self._fetch_token()}
        answer = await self.client.post(path, data=form)
        if not answer.is_redirect:
            raise click.ClickException(f"{path} answered {self.name} with a {answer.status_code}")

    async def _fetch_token(self) -> str:
        page = (await self.client.get("/sign-in")).raise_for_status().text
        token = re.search(r'name="csrf_token" value="([^"]+)"', page)
        if token is None:
            raise click.ClickException("there is no form at /sign-in: is this the notebook?")
        return token[1]


def _unwatched(_phase: str, _steps: int) -> Step:
    return lambda: None


async def run_load(url: str, users: int, requests: int, patience: float = 60, watch: Watch = _unwatched) -> Report:
    """Sign `users` in at once, and have them send so many `requests` between them.

    They wait `patience` seconds for each answer. `watch` is told of each phase and how many steps it has, and gives
    what to call at each of them.
    """
    report = Report(users)
    run = f"load{secrets.token_hex(3)}"
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(client) for client in _clients(url, users, patience)]
        readers = [Reader(run, number, client, report) for number, client in enumerate(clients)]
        step = watch("Signing in", users)
        await asyncio.gather(*(reader.sign_up_and_in(step) for reader in readers))
        step = watch("Asking", requests)
        started = time.monotonic()
        shares = [requests // users + (number < requests % users) for number in range(users)]
        await asyncio.gather(*(reader.ask(share, step) for reader, share in zip(readers, shares, strict=True)))
        report.seconds = time.monotonic() - started
    return report


def _clients(url: str, count: int, patience: float) -> Iterator[httpx.AsyncClient]:
    tls = ssl.create_default_context()  # takes long to make, so all share one
    for _ in range(count):
        yield httpx.AsyncClient(base_url=url, timeout=patience, verify=tls, trust_env=False)


@contextmanager
def serving(*, unsafe: bool = False) -> Iterator[str]:
    """Run the notebook under gunicorn on a free port, with an empty database; gives its address."""
    with tempfile.TemporaryDirectory() as folder:
        with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
            server = _start_gunicorn(listener.fileno(), Path(folder), "unsafe" if unsafe else "app")
            port = listener.getsockname()[1]
        # From here on the server alone has the socket: clients wait there until it is up, and are refused if it is not.
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            _stop(server)


def _start_gunicorn(listener: int, folder: Path, module: str) -> subprocess.Popen[bytes]:
    config = str(HERE / "gunicorn.conf.py")
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        "-c",
        config,
        "--log-level",
        "warning",
        f"notebook.{module}:create_app()",
    ]
    env = os.environ | {
        "DATABASE_URL": f"sqlite:///{folder / 'load.sqlite3'}",
        "SECRET_KEY": secrets.token_hex(),
        "NOTEBOOK_INSPECTOR_TOKEN": secrets.token_hex(),
        "NOTEBOOK_LOG_LEVEL": "WARNING",
        "NOTEBOOK_BIND": f"fd://{listener}",
        "NOTEBOOK_PASSWORD_METHOD": "pbkdf2:sha256:1000",  # it is not the hashing that is to be tried out
    }
    # Ctrl-C is for us: in a session of its own the server is there until we stop it.
    return subprocess.Popen(command, env=env, pass_fds=[listener], start_new_session=True)


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(timeout=10)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def _with_progress(url: str, users: int, requests: int, deadline: float) -> Report:
    bar = Progress(TextColumn("{task.description:<10}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())

    def watch(phase: str, steps: int) -> Step:
        task = bar.add_task(phase, total=steps)
        return lambda: bar.advance(task)

    async def run() -> Report:
        async with asyncio.timeout(deadline):
            return await run_load(url, users, requests, watch=watch)

    with bar:
        return asyncio.run(run())


def _table(report: Report, title: str) -> Table:
    table = Table("", title=title, show_header=False)
    table.add_column(justify="right")
    table.add_row("requests", f"{report.requests:,}")
    table.add_row("users", f"{report.users:,}")
    table.add_row("requests a second", f"{report.requests / report.seconds:,.0f}")
    table.add_row("requests that failed", f"{report.failed:,}")
    table.add_row(
        "answers that were somebody else's", f"{report.foreign:,}", style="red" if report.foreign else "green"
    )
    return table


@click.command()
@click.option("--url", help="A notebook that runs already. It keeps the accounts that are made.")
@click.option("--users", type=click.IntRange(2, 1000), default=200, show_default=True)
@click.option("--requests", type=click.IntRange(1), default=20_000, show_default=True, help="Of all users together.")
@click.option("--deadline", type=float, default=900, show_default=True, help="Give up after so many seconds.")
@click.option("--unsafe", is_flag=True, help="Try the variant that keeps the user in a module global.")
def main(url: str | None, users: int, requests: int, deadline: float, *, unsafe: bool) -> None:
    """Have many users use the notebook at once, and count the answers that were somebody else's.

    Exits with 0 if there were none, and with --unsafe, if there were some.
    """
    if url and unsafe:
        raise click.UsageError("--unsafe starts a server of its own: leave --url out")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that our server is stopped then too
    try:
        with nullcontext(url) if url else serving(unsafe=unsafe) as address:
            report = _with_progress(address, users, requests, deadline)
    except TimeoutError:
        raise click.ClickException(f"not done after {deadline:g} seconds") from None
    except httpx.HTTPError as error:
        raise click.ClickException(f"the notebook does not answer: {error!r}") from None
    console = Console()
    console.print(_table(report, "the user in a module global" if unsafe else "the user in ctx"))
    for example in report.examples:
        console.print(example)
    sys.exit(report.foreign == 0 if unsafe else report.foreign + report.failed > 0)


if __name__ == "__main__":
    main()
