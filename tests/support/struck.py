"""A program: strikes requests, and blocks with a scope, at each point of tlctx's code, and prints what was left behind.

    python -m support.struck NAME SEED MOST

NAME is one of RUNS; SEED gives the order of the points, of which at most MOST are struck.

It is a process of its own, so that few frames are below tlctx's, and nothing is imported that makes tlctx look around.
"""

from __future__ import annotations

import gc
import json
import logging
import random
import sys
from typing import TYPE_CHECKING, Any

from support.injection import Injector, Struck
from support.struck_runs import RUNS, Boom, clean, find_faults, find_faults_after_the_next, run

if TYPE_CHECKING:
    from collections.abc import Callable


def strike_at(number: int, work: Callable[[], None]) -> Injector:
    """Run `work`, and strike at that point; 0 only counts the points."""
    run.begin()
    injector = Injector(number)
    try:
        with injector.active():
            work()
    except (Boom, Struck):
        pass
    except KeyError:  # where a trace function raises as a handler begins, CPython may go on with what was to be handled
        if injector.struck is None:
            raise
    if run.scope is not None:
        run.scope.close()
    return injector


def strike_everywhere(name: str, seed: int, most: int) -> dict[str, Any]:
    """Strike that run at each of its points, or at `most` of them, in an order that `seed` gives."""
    work = RUNS[name]
    for _ in range(2):
        counted = strike_at(0, work)
    gc.freeze()  # what is there already need not be looked through each time
    order = random.Random(seed).sample(range(1, len(counted.points) + 1), len(counted.points))
    found, left, reached = [], [], 0
    for number in order[:most]:
        if sys.version_info >= (3, 12):  # after a run that was struck, tracing passes over some instructions once
            strike_at(0, work)
        injector = strike_at(number, work)
        gc.collect()
        if injector.struck is not None:
            reached += 1
            if find_faults():
                left.append(f"{injector.struck.function}, {injector.struck.kind}")
                found += [f"{injector.struck}: {fault}" for fault in find_faults_after_the_next()]
        clean()
    return {
        "points": len(order), "struck": len(order[:most]), "reached": reached, "others": counted.others, "left": left,
        "faults": found,
    }  # fmt: skip


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    sys.unraisablehook = lambda unraisable: None  # finalizers are struck too
    sys.stdout.write(json.dumps(strike_everywhere(sys.argv[1], *map(int, sys.argv[2:]))))
