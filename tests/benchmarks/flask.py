"""Flask: the same request with TLCtx, with `flask.g`, and bare, which writes and reads nothing.

The sides differ by a few percent, so bare is measured against itself too: what those two differ by is noise. What
counts is CPU time: the clock would count whatever else the machine does meanwhile. In process a side is called as a
server calls it. Through gunicorn it is the CPU seconds of the worker, as it knows them itself.
"""

from __future__ import annotations

import contextlib
import socket
import statistics
import time
from typing import TYPE_CHECKING, Any

from benchmarks import bench_app, servers
from benchmarks.measure import Effort, Job, Row, Run, calling, figure, in_turn
from benchmarks.middleware import ENVIRON as OF_NOTES
from benchmarks.middleware import serve, start_response
from support.helpers import PATIENCE, raising
from support.processes import get, gunicorn

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

IN_PROCESS = "a Flask request"
THROUGH_GUNICORN = "CPU of a Flask request, gunicorn gthread"
ENVIRON = {**OF_NOTES, "PATH_INFO": "/"}
Pairs = tuple[tuple[str, str, str], ...]
PAIRS: Pairs = (
    ("TLCtx, against bare", "TLCtx", "bare"), ("TLCtx, against flask.g", "TLCtx", "flask.g"),
    ("flask.g, against bare", "flask.g", "bare"), ("bare, against bare again", "bare again", "bare"),
)  # fmt: skip
"""For each row its name, the side that stands for ours, and the one that stands for theirs."""
ROUNDS = (2001, 3)
SLICE = (0.0025, 0.0003)  # seconds
STARTS = (12, 1)
ENOUGH = 220.0  # seconds after which the servers are not started anew, however often they were
TURNS = (12, 1)  # of each server after each start
CONNECTIONS, TIMES = 8, 15  # in a turn


def called(app: Any) -> Run:
    """Calls the app as a server does. Raises RuntimeError if it does not answer as it should."""
    if b"".join(app(ENVIRON.copy(), start_response)) != b"Hello, ann!":
        raise RuntimeError("this is not the request that was meant")
    return calling(serve(app, ENVIRON), time.process_time)


def in_process(effort: Effort) -> Iterator[Row]:
    return rows_in_process(IN_PROCESS, bench_app.GREETINGS, PAIRS, effort)


def rows_in_process(work: str, apps: Mapping[str, Callable[[], Any]], pairs: Pairs, effort: Effort) -> Iterator[Row]:
    """The pairs of these apps, which are called as a server calls them."""
    runs = [called(make()) for make in apps.values()]
    long = Effort(effort.count(*ROUNDS), SLICE[effort.trial], effort.trial)
    rounds = [dict(zip(apps, spent, strict=True)) for spent in in_turn(runs, long)]
    for name, ours, theirs in pairs:
        found = figure([(0.0, spent[ours], spent[theirs]) for spent in rounds])
        yield Row(work, name, found, close=True)


@contextlib.contextmanager
def serving(sides: Collection[str]) -> Iterator[dict[str, int]]:
    """The port of each side's server."""
    with contextlib.ExitStack() as stack:
        apps = {name: f"benchmarks.bench_app:make_metered({name!r})" for name in sides}
        yield {
            name: stack.enter_context(gunicorn(app, *servers.OPTIONS, cwd=servers.TESTS, threads=servers.THREADS))
            for name, app in apps.items()
        }


def used(port: int) -> tuple[float, int]:
    """The CPU seconds of the worker, and how many requests it has served."""
    seconds, served = get(port, "/used")[2].split()
    return float(seconds), int(served)


def ask_often(port: int) -> None:
    """Ask so many times, on several connections at once; all of them are kept alive."""
    with contextlib.ExitStack() as stack:
        address = ("127.0.0.1", port)
        sockets = [stack.enter_context(socket.create_connection(address, PATIENCE)) for _ in range(CONNECTIONS)]
        for _ in range(TIMES):
            for connection in sockets:
                connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            for connection in sockets:
                received = b""
                while not received.endswith(b"\r\n\r\nHello, ann!"):
                    received += connection.recv(4096) or raising(RuntimeError(f"the server answered {received!r}"))


def nanoseconds_per_request(port: int) -> float:
    seconds, served = used(port)
    ask_often(port)
    seconds_after, served_after = used(port)
    return (seconds_after - seconds) / (served_after - served) * 1e9


def one_start(sides: Collection[str], turns: int) -> list[dict[str, float]]:
    """What each side takes in every turn, after a start of all servers."""
    with serving(sides) as ports:
        runs = {name: lambda port=port: nanoseconds_per_request(port) for name, port in ports.items()}
        return servers.in_turn(runs, turns)


def middle(turns: list[dict[str, float]], ours: str, theirs: str) -> tuple[float, float, float]:
    """The sides of a start as one round, by the median of its turns: a process is faster or slower as a whole."""
    ratio = statistics.median(spent[ours] / spent[theirs] for spent in turns)
    other = statistics.median(spent[theirs] for spent in turns)
    return 0.0, ratio * other, other


def through_gunicorn(effort: Effort) -> Iterator[Row]:
    return rows_through_gunicorn(THROUGH_GUNICORN, bench_app.GREETINGS, PAIRS, effort)


def rows_through_gunicorn(work: str, sides: Collection[str], pairs: Pairs, effort: Effort) -> Iterator[Row]:
    """The pairs of these sides, each of which has a server."""
    servers.share_a_processor()
    began, starts = time.monotonic(), list[list[dict[str, float]]]()
    while len(starts) < effort.count(*STARTS) and time.monotonic() - began < ENOUGH:
        starts.append(one_start(sides, effort.count(*TURNS)))
    for name, ours, theirs in pairs:
        found = figure([middle(turns, ours, theirs) for turns in starts])
        yield Row(work, name, found, close=True)


JOBS = [Job("a request in process", in_process, 30), Job("a request through gunicorn", through_gunicorn, 150)]
