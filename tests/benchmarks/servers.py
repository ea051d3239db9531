"""Servers: requests per second of a real gunicorn, loaded by wrk, and a large file through its `sendfile`.

Servers and load share one processor. On two, a server's threads hand the GIL from one to the other, and the same bare
app answers now 5,000 and now 9,000 requests a second: the ratio would be that of where the kernel put them.

A process is a few percent faster or slower for as long as it lives, so the servers are started anew several times.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import bench_app
from benchmarks.measure import Effort, Job, Row, figure, turned
from support.processes import gunicorn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

TESTS = Path(__file__).parent.parent
THREADS = 4
CONNECTIONS = 8
SECONDS = 1  # that wrk loads a server in a turn
STARTS = (6, 1)
ROUNDS = (3, 1)  # after each start
REQUESTS = "requests/s, gunicorn gthread"
A_FILE = "100 MB by sendfile, gunicorn"
PAIRS = (("bare app", "tlctx", "bare"), ("werkzeug LocalManager", "tlctx", "LocalManager"),
         ("Flask without TLCtx", "Flask with TLCtx", "Flask"))  # fmt: skip
"""For each row the rival, the server that is ours and the one that is theirs."""
FILE_ROUNDS = (51, 2)
MEGABYTES = (100, 1)
MEGABYTE = 1_000_000
OPTIONS = ("--no-control-socket", "--keep-alive=30")


@contextlib.contextmanager
def serving(names: tuple[str, ...], megabytes: int) -> Iterator[dict[str, int]]:
    """The port of each app's server; all of them stay up, and an idle one costs nothing."""
    share_a_processor()
    with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as stack:
        path = Path(directory) / "file"
        path.write_bytes(bytes(MEGABYTE) * megabytes)
        yield {
            name: stack.enter_context(
                gunicorn(f"benchmarks.bench_app:make({name!r}, {str(path)!r})", *OPTIONS, cwd=TESTS, threads=THREADS)
            )
            for name in names
        }


def share_a_processor() -> None:
    """Stay on one from now on, with all processes that are started."""
    if sys.platform == "linux":
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def in_turn(sides: Mapping[str, Callable[[], float]], rounds: int) -> list[dict[str, float]]:
    """What each side came to, in every round. The first answers of a process are slower: one round is for nothing."""
    for side in sides.values() if rounds > 1 else ():
        side()
    return [{name: sides[name]() for name in turned(list(sides), number)} for number in range(rounds)]


def requests_per_second(port: int) -> float:
    load = ("-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", f"http://127.0.0.1:{port}/")
    ran = subprocess.run(["wrk", *load], capture_output=True, text=True, timeout=60, check=True)
    wrong = re.search(r"Socket errors:.*|Non-2xx.*", ran.stdout)
    found = re.search(r"Requests/sec:\s+([\d.]+)", ran.stdout)
    if wrong or not found:
        raise RuntimeError(f"wrk says: {ran.stdout}")
    return float(found[1])


def megabytes_per_second(port: int, megabytes: int) -> float:
    """Of the file, read whole into one buffer."""
    buffer, head, received = memoryview(bytearray(2**20)), b"", 0
    began = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(b"GET /file HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        while count := connection.recv_into(buffer):
            head = head or bytes(buffer[:count])
            received += count
    took = time.perf_counter() - began
    check_length(head, received, megabytes * MEGABYTE)
    return megabytes / took


def check_length(head: bytes, received: int, expected: int) -> None:
    body = received - head.find(b"\r\n\r\n") - 4
    if not head.startswith(b"HTTP/1.1 200 ") or body != expected:
        raise RuntimeError(f"received {body} bytes of {expected} after {head[:12]!r}")


def request_rows(effort: Effort) -> Iterator[Row]:
    if shutil.which("wrk") is None:
        yield from (Row(REQUESTS, rival, None, "requests/s", "not installed: wrk") for rival, _, _ in PAIRS)
        return
    rounds = []
    for _ in range(effort.count(*STARTS)):
        with serving(tuple(bench_app.APPS), 1) as ports:
            sides = {name: lambda port=port: requests_per_second(port) for name, port in ports.items()}
            rounds += in_turn(sides, effort.count(*ROUNDS))
    for rival, ours, theirs in PAIRS:
        found = figure([(0.0, spent[ours], spent[theirs]) for spent in rounds])
        yield Row(REQUESTS, rival, found, "requests/s", more_is_better=True)


def file_rows(effort: Effort) -> Iterator[Row]:
    megabytes = effort.count(*MEGABYTES)
    with serving(("bare", "tlctx"), megabytes) as ports:
        sides = {name: lambda port=port: megabytes_per_second(port, megabytes) for name, port in ports.items()}
        rounds = in_turn(sides, effort.count(*FILE_ROUNDS))
    found = figure([(0.0, spent["tlctx"], spent["bare"]) for spent in rounds])
    yield Row(A_FILE, "bare app", found, "MB/s", more_is_better=True)


JOBS = [Job("requests per second", request_rows, 140), Job("a file", file_rows, 8)]
