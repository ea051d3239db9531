"""A process with many live threads, all of which have touched the same objects, that times reads when asked to."""

from __future__ import annotations

import multiprocessing
import threading
from typing import TYPE_CHECKING, Any

from benchmarks.measure import Effort, loops, statement, turned

import tlctx

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

LIVE = ((1, 1), (100, 4), (10_000, 20))
"""How many live threads there are, the reader included: in a full run, and in a trial."""
STACK = 256 * 1024  # bytes a thread, so that ten thousand fit
PATIENCE = 120.0


class Reader:
    """The process, from the outside. It has to be made while this process has one thread: it is forked."""

    def __init__(self, threads: int, effort: Effort) -> None:
        self.threads = threads
        self.problem = ""
        context = multiprocessing.get_context("fork")
        self._here, there = context.Pipe()
        self._process = context.Process(target=read_when_asked, args=(there, threads, effort), daemon=True)
        self._process.start()
        there.close()
        started = self._receive()
        if started < threads:
            self.problem = f"the machine refused more than {started:,} threads"

    def ask(self) -> dict[str, float]:
        """Nanoseconds of a read: of the floor, ours, ours that only the reader touched, theirs."""
        self._here.send("read")
        return self._receive()  # type: ignore[no-any-return]

    def end(self) -> None:
        self._here.send("")
        self._process.join(PATIENCE)

    def _receive(self) -> Any:
        if not self._here.poll(PATIENCE):
            raise TimeoutError(f"the process with {self.threads:,} threads does not answer")
        return self._here.recv()


def read_when_asked(pipe: Connection, threads: int, effort: Effort) -> None:
    ours, theirs, alone = tlctx.local(), threading.local(), tlctx.local()
    pipe.send(1 + park(threads - 1, (ours, theirs)))
    ours.x = theirs.x = alone.x = 1
    runs = {
        "floor": statement("pass", None),
        "ours": statement("o.x", ours),
        "alone": statement("o.x", alone),
        "theirs": statement("o.x", theirs),
    }
    numbers = {side: loops(run, effort.slice) for side, run in runs.items()}
    asked = 0
    while pipe.recv():
        asked += 1
        order = turned(list(runs), asked)
        pipe.send({side: runs[side](numbers[side]) / numbers[side] * 1e9 for side in order})


def park(number: int, subjects: tuple[Any, ...]) -> int:
    """Start this many threads, each of which touches all subjects and stays. Returns how many the machine allowed."""
    never, touched = threading.Event(), threading.Semaphore(0)

    def stay() -> None:
        for subject in subjects:
            subject.x = 1
        touched.release()
        never.wait()

    threading.stack_size(STACK)
    for started in range(number):
        try:
            threading.Thread(target=stay, daemon=True).start()
        except (RuntimeError, MemoryError):
            return started
        touched.acquire()
    return number
