"""Flask: the same request with TLCtx, with `flask.g`, and bare, which writes and reads nothing.

The sides differ by a few percent, so bare is measured against itself too: what those two differ by is noise. What
counts is CPU time: the clock would count whatever else the machine does meanwhile. In process a side is called as a
server calls it. Through gunicorn it is the CPU seconds of the worker, as it knows them itself.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from typing import TYPE_CHECKING, Any

from benchmarks import bench_app
from benchmarks.measure import Effort, Job, Row, Run, calling, figure, in_turn, turned
from benchmarks.middleware import ENVIRON as OF_NOTES
from benchmarks.middleware import serve, start_response
from benchmarks.servers import OPTIONS, TESTS, THREADS, requests_per_second, share_a_processor
from support.processes import get, gunicorn

if TYPE_CHECKING:
    from collections.abc import Iterator

IN_PROCESS = "a Flask request"
THROUGH_GUNICORN = "CPU of a Flask request, gunicorn gthread"
ENVIRON = {**OF_NOTES, "PATH_INFO": "/"}
SIDES = tuple(bench_app.GREETINGS)
PAIRS = (
    ("TLCtx, against bare", "TLCtx", "bare"), ("TLCtx, against flask.g", "TLCtx", "flask.g"),
    ("flask.g, against bare", "flask.g", "bare"), ("bare, against bare again", "bare again", "bare"),
)  # fmt: skip
"""For each row its name, the side that stands for ours, and the one that stands for theirs."""
ROUNDS = (2001, 3)
SLICE = (0.0025, 0.0003)  # seconds
STARTS = (15, 1)
ENOUGH = 220.0  # seconds after which the servers are not started anew, however often they were
LOADS = (2, 1)  # of each server after each start, a second long


def rows(work: str, rounds: list[dict[str, float]]) -> Iterator[Row]:
    """Of what each side took in every round, in nanoseconds."""
    for name, ours, theirs in PAIRS:
        found = figure([(0.0, spent[ours], spent[theirs]) for spent in rounds])
        yield Row(work, name, found, close=True)


def called(app: Any) -> Run:
    """Calls the app as a server does. Raises RuntimeError if it does not answer as it should."""
    if b"".join(app(ENVIRON.copy(), start_response)) != b"Hello, ann!":
        raise RuntimeError("this is not the request that was meant")
    return calling(serve(app, ENVIRON), time.process_time)


def in_process(effort: Effort) -> Iterator[Row]:
    runs = [called(make()) for make in bench_app.GREETINGS.values()]
    long = Effort(effort.count(*ROUNDS), SLICE[effort.trial], effort.trial)
    yield from rows(IN_PROCESS, [dict(zip(SIDES, spent, strict=True)) for spent in in_turn(runs, long)])


@contextlib.contextmanager
def serving() -> Iterator[dict[str, int]]:
    """The port of each side's server."""
    with contextlib.ExitStack() as stack:
        apps = {name: f"benchmarks.bench_app:make_metered({name!r})" for name in SIDES}
        yield {
            name: stack.enter_context(gunicorn(app, *OPTIONS, cwd=TESTS, threads=THREADS)) for name, app in apps.items()
        }


def used(port: int) -> tuple[float, int]:
    """The CPU seconds of the worker, and how many requests it has served."""
    seconds, served = get(port, "/used")[2].split()
    return float(seconds), int(served)


def seconds_per_request(port: int) -> float:
    seconds, served = used(port)
    requests_per_second(port)
    seconds_after, served_after = used(port)
    return (seconds_after - seconds) / (served_after - served)


def one_start(loads: int) -> dict[str, float]:
    """What each side takes, in nanoseconds, after a start of all servers: a process is faster or slower as a whole."""
    with serving() as ports:
        for port in ports.values():  # the first answers of a process are slower
            requests_per_second(port)
        spent = dict.fromkeys(ports, 0.0)
        for number in range(loads):
            for name, port in turned(list(ports.items()), number):
                spent[name] += seconds_per_request(port) / loads * 1e9
        return spent


def through_gunicorn(effort: Effort) -> Iterator[Row]:
    if shutil.which("wrk") is None:
        yield from (Row(THROUGH_GUNICORN, name, None, problem="not installed: wrk") for name, _, _ in PAIRS)
        return
    share_a_processor()
    began, rounds = time.monotonic(), list[dict[str, float]]()
    while len(rounds) < effort.count(*STARTS) and time.monotonic() - began < ENOUGH:
        rounds.append(one_start(effort.count(*LOADS)))
    yield from rows(THROUGH_GUNICORN, rounds)


JOBS = [Job("a request in process", in_process, 30), Job("a request through gunicorn", through_gunicorn, 240)]
