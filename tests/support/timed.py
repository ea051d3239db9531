"""A program: strikes requests, and blocks with a scope, by real signals, and prints what was left behind.

    python -m support.timed SECONDS SEED

A timer's signal comes after a random time, once in each run.
"""

from __future__ import annotations

import gc
import json
import logging
import random
import signal
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from support.injection import PACKAGE, Struck
from support.struck_runs import RUNS, Boom, clean, find_faults, find_faults_after_the_next, run

if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST = 0.0006
"""Seconds to the signal: about as long as the longest of the runs takes."""


class Timer:
    """Raises Struck in the main thread, once, while it is armed; then `frame` says where."""

    def __init__(self) -> None:
        self.armed = False
        self.frame: Any = None
        signal.signal(signal.SIGALRM, self._strike)

    def _strike(self, number: int, frame: Any) -> None:
        if self.armed:
            self.armed = False
            self.frame = frame
            raise Struck


def strike(work: Callable[[], None], timer: Timer, delay: float) -> None:
    """Run `work`, with a signal on its way."""
    run.begin()
    timer.frame = None
    signal.setitimer(signal.ITIMER_REAL, delay)
    try:
        timer.armed = True
        work()
        timer.armed = False
    except (Boom, Struck):
        timer.armed = False
    if run.scope is not None:
        run.scope.close()


def strike_for(seconds: float, seed: int) -> dict[str, Any]:
    """Strike all runs in turn, for that many seconds."""
    chance, timer, left = random.Random(seed), Timer(), Counter[str]()
    found: list[str] = []
    runs = inside = 0
    gc.freeze()  # what is there already need not be looked through each time
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        name = chance.choice(list(RUNS))
        strike(RUNS[name], timer, chance.uniform(0.00001, LONGEST))
        runs += 1
        code = None if timer.frame is None else timer.frame.f_code
        timer.frame = None
        if code is not None and code.co_filename.startswith(PACKAGE):
            inside += 1
            gc.collect()
            if find_faults():
                left[code.co_qualname] += 1
                found += [f"{name}, {code.co_qualname}: {fault}" for fault in find_faults_after_the_next()]
        clean()
    signal.setitimer(signal.ITIMER_REAL, 0)  # one that comes as the interpreter ends would kill it
    return {"runs": runs, "struck inside": inside, "left": left, "faults": found}


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    sys.unraisablehook = lambda unraisable: None  # finalizers are struck too
    sys.stdout.write(json.dumps(strike_for(float(sys.argv[1]), int(sys.argv[2]))))
