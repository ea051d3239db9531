"""Threads: a new one's first touch, reads while many live, and reads from several at once."""

from __future__ import annotations

import concurrent.futures
import contextvars
import functools
import statistics
import threading
import time
from typing import TYPE_CHECKING, Any

from benchmarks.live import LIVE, Reader
from benchmarks.measure import Effort, Job, Row, Run, compare, figure, in_turn, statement, turned
from benchmarks.rivals import (
    ASGIREF_LOCAL,
    CONTEXT_VAR,
    PYTHON_LOCAL,
    READ,
    THREAD_LOCAL,
    WERKZEUG_LOCAL,
    WRITE,
    Rival,
)
from support.threads import run_at_once

import tlctx
import tlctx.threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

FIRST_TOUCH = "first write in a new thread, and its end"
AT_ONCE = 8
JOBS_AT_ONCE = 500  # submitted before the first result is asked for
NEW_THREADS = (500, 5)  # of each side in a round: in a full run, and in a trial


def nothing() -> None:
    """The target of a thread that touches nothing."""


def touching(subject: Any) -> Callable[[], None]:
    def touch() -> None:
        subject.x = 1

    return touch


def singly(targets: tuple[Callable[[], None], ...], number: int) -> tuple[float, ...]:
    """The nanoseconds from a thread's start to its end, for threads that run one target: the median of each target.

    A touch is a hundredth of a thread's cost, so the targets take turns thread by thread. The time is the processors':
    a thread's start and end wait for the scheduler, which is no part of the work.
    """
    spent: list[list[int]] = [[] for _ in targets]
    for turn in range(number):
        for place in turned(range(len(targets)), turn):
            began = time.process_time_ns()
            thread = threading.Thread(target=targets[place])
            thread.start()
            thread.join()
            spent[place].append(time.process_time_ns() - began)
    return tuple(statistics.median(side) for side in spent)


def first_touch(rival: Rival, effort: Effort) -> Iterator[Row]:
    try:
        theirs = rival.make()
    except ImportError:
        yield Row(FIRST_TOUCH, rival.name, None, problem=f"not installed: {rival.distribution}")
        return
    targets = nothing, touching(tlctx.local()), touching(theirs)
    rounds = [singly(targets, effort.count(*NEW_THREADS)) for _ in range(effort.rounds)]
    yield Row(FIRST_TOUCH, rival.name, figure(rounds))


def at_once(code: str, subject: Any, write: str = "pass") -> Run:
    """Runs `code` on several threads at once, from the moment that all are ready until the last is done."""
    loop, prepare = statement(code, subject), statement(write, subject)

    def run(number: int) -> float:
        began, ended = [], []
        ready = threading.Barrier(AT_ONCE, lambda: began.append(time.perf_counter()))

        def work() -> None:
            prepare(1)
            ready.wait()
            loop(max(1, number // AT_ONCE))
            ended.append(time.perf_counter())

        run_at_once([work] * AT_ONCE)
        return max(ended) - began[0]

    return run


def reads_at_once(effort: Effort) -> Iterator[Row]:
    longer = Effort(effort.rounds, effort.slice * effort.count(4, 1), effort.trial)
    ours = at_once("o.x", tlctx.local(), "o.x = 1")
    for rival in (THREAD_LOCAL, CONTEXT_VAR, PYTHON_LOCAL):
        theirs = at_once(rival.statements[READ], rival.make(), rival.statements[WRITE])
        found = compare(at_once("pass", None), ours, theirs, longer)
        yield Row(f"read, {AT_ONCE} threads at once", rival.name, found)


def reads_among_many(effort: Effort) -> Iterator[Row]:
    """Each number of live threads in a process of its own, all of which are asked in turn."""
    readers = [Reader(effort.count(*numbers), effort) for numbers in LIVE]
    try:
        rounds = [
            {reader.threads: reader.ask() for reader in turned(readers, number)} for number in range(effort.rounds)
        ]
        for reader in readers:
            yield from of_reader(reader, rounds)
    finally:
        for reader in readers:
            reader.end()


def of_reader(reader: Reader, rounds: list[dict[int, Any]]) -> Iterator[Row]:
    count = reader.threads
    work = f"read, {count:,} live {'thread' if count == 1 else 'threads'}"
    sides = {"threading.local, in C": "theirs"}
    if count > 1:
        sides |= {"a local that one thread touched": "alone", "with 1 live thread": "one"}
    for rival, side in sides.items():
        if reader.problem:
            yield Row(work, rival, None, problem=reader.problem)
            continue
        samples = [
            (spent[count]["floor"], spent[count]["ours"], spent[1]["ours"] if side == "one" else spent[count][side])
            for spent in rounds
        ]
        yield Row(work, rival, figure(samples))


def submitting(submit: Callable[[], Future[Any]]) -> Run:
    """Submits jobs and waits for their results, in batches. The time is the processors', as above."""

    def run(number: int) -> float:
        batches = -(-number // JOBS_AT_ONCE)
        began = time.process_time()
        for _ in range(batches):
            for future in [submit() for _ in range(JOBS_AT_ONCE)]:
                future.result()
        return (time.process_time() - began) * number / (batches * JOBS_AT_ONCE)

    return run


def jobs(effort: Effort) -> Iterator[Row]:
    """A job that reads one value, from submit to result: of the request, and of a context variable."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("user")
    ctx = tlctx.ctx
    longer = Effort(effort.rounds * effort.count(4, 1), effort.slice, effort.trial)
    with concurrent.futures.ThreadPoolExecutor(4) as plain, tlctx.threads.ThreadPoolExecutor(4) as pool:
        with ctx.scope(user="ann"):
            variable.set("ann")
            ours = submitting(lambda: pool.submit(getattr, ctx, "user"))
            theirs = submitting(lambda: plain.submit(contextvars.copy_context().run, variable.get))
            found = figure((0.0, mine, other) for mine, other in in_turn((ours, theirs), longer))
    yield Row("a job of a pool, submit to result", "contextvars.copy_context().run", found)


JOBS = [
    *(
        Job(f"first touch, {rival.name}", functools.partial(first_touch, rival), 6)
        for rival in (THREAD_LOCAL, PYTHON_LOCAL, ASGIREF_LOCAL, WERKZEUG_LOCAL)
    ),
    Job("live threads", reads_among_many, 8),
    Job("threads at once", reads_at_once, 8),
    Job("jobs of a pool", jobs, 8),
]
