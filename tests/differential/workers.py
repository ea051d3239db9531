"""Two processes that perform the same scenarios, one on each implementation."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NoReturn

from support.helpers import PATIENCE

import tlctx

TESTS = Path(__file__).parent.parent


class WorkerProcess:
    """A process that runs one implementation."""

    def __init__(self, implementation: str) -> None:
        self.implementation = implementation
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-X", "faulthandler", "-m", "differential.worker"],
            env={
                **os.environ,
                "TLCTX_PURE_PYTHON": "1" if implementation == "python" else "",
                "PYTHONPATH": os.pathsep.join(map(str, [TESTS, Path(tlctx.__file__).parent.parent])),
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            bufsize=1,
            start_new_session=True,
        )
        assert self.answer() == implementation

    def ask(self, thread: int, what: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([thread, what]) + "\n")

    def answer(self) -> Any:
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE / 2)
        line = self.process.stdout.readline() if ready else ""
        return json.loads(line) if line else self.fail("gives no answer")

    def fail(self, reason: str) -> NoReturn:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGABRT)  # faulthandler prints where its threads are
        self.process.wait(PATIENCE)
        self.errors.seek(0)
        raise AssertionError(f"the process of implementation {self.implementation} {reason}\n{self.errors.read()}")

    def end(self) -> None:
        self.process.communicate(timeout=PATIENCE)
        self.errors.close()


def without_the_collectors_order(report: list[Any]) -> list[Any]:
    """The report, with the scopes that the collector found in the order of their numbers: it promises none."""

    def is_found(event: Any) -> bool:
        return isinstance(event, list) and event[:1] == ["logged"] and "entered and never left" in event[1]

    def ordered(events: Any) -> Any:
        found = iter(sorted(filter(is_found, events))) if isinstance(events, list) else iter(())
        return [next(found) if is_found(event) else event for event in events] if isinstance(events, list) else events

    return [ordered(part) for part in report]


class WorkerPair:
    """One process for each implementation."""

    def __init__(self) -> None:
        self.pair: list[WorkerProcess] = []
        self.agree = True

    def same(self, thread: int, what: Any) -> Any:
        """Have both perform it, compare their reports, and return the counts of what there is now."""
        self.pair = self.pair or [WorkerProcess("python"), WorkerProcess("c")]
        self.agree = False
        python, c = map(without_the_collectors_order, self.ask(thread, what))
        assert c == python
        assert "died" not in c
        self.agree = True
        return python[0]

    def ask(self, thread: int, what: Any) -> list[Any]:
        try:
            for worker in self.pair:
                worker.ask(thread, what)
            return [worker.answer() for worker in self.pair]
        except BaseException:
            self.end()
            raise

    def anew(self) -> None:
        """End the scenario; the reports on that have to agree too."""
        if self.agree and self.pair:
            self.same(0, None)
        elif self.pair:
            self.ask(0, None)
            self.agree = True

    def end(self) -> None:
        while self.pair:
            self.pair.pop().end()
