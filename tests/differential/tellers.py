"""Two processes that tell the same stories, one with each twin."""

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
PROGRAM = TESTS / "differential" / "tell.py"


class Teller:
    """A process with one of the twins."""

    def __init__(self, twin: str) -> None:
        self.twin = twin
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-X", "faulthandler", str(PROGRAM)],
            env={
                **os.environ,
                "TLCTX_PURE_PYTHON": "1" if twin == "python" else "",
                "PYTHONPATH": os.pathsep.join(map(str, [TESTS, Path(tlctx.__file__).parent.parent])),
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            bufsize=1,
            start_new_session=True,
        )
        assert self.answer() == twin

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
            os.killpg(self.process.pid, signal.SIGABRT)  # its threads tell what they are at
        self.process.wait(PATIENCE)
        self.errors.seek(0)
        raise AssertionError(f"the {self.twin} twin {reason}\n{self.errors.read()}")

    def end(self) -> None:
        self.process.communicate(timeout=PATIENCE)
        self.errors.close()


class Tellers:
    """One process for each twin."""

    def __init__(self) -> None:
        self.pair: list[Teller] = []
        self.agree = True

    def same(self, thread: int, what: Any) -> Any:
        """Have both perform it, compare what they tell, and return what there is now."""
        self.pair = self.pair or [Teller("python"), Teller("c")]
        self.agree = False
        python, c = self.ask(thread, what)
        assert c == python
        assert "died" not in c
        self.agree = True
        return python[0]

    def ask(self, thread: int, what: Any) -> list[Any]:
        try:
            for teller in self.pair:
                teller.ask(thread, what)
            return [teller.answer() for teller in self.pair]
        except BaseException:
            self.end()
            raise

    def anew(self) -> None:
        """End what they have, which has to agree too."""
        if self.agree and self.pair:
            self.same(0, None)
        elif self.pair:
            self.ask(0, None)
            self.agree = True

    def end(self) -> None:
        while self.pair:
            self.pair.pop().end()
