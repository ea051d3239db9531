"""A process that performs scenarios: `python -m differential.worker` reads commands and prints a report on each.

The environment says which implementation runs in it.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import resource
import signal
import sys

from differential.application import Ctx
from differential.requests import RequestScenario
from support.helpers import PATIENCE

import tlctx

LIMIT = 2**30
"""Bytes of memory that the process may have: a scenario may loop."""


class Journal(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        Ctx.scenario.note("logged", record.getMessage(), type(error).__name__)


def perform_scenario() -> None:
    """Perform the commands of the standard input, one a line, and print what comes of each."""
    gc.freeze()
    gc.disable()
    sys.setswitchinterval(PATIENCE)
    sys.unraisablehook = lambda raised: Ctx.scenario.note("unraisable", repr(raised.exc_value))
    logging.getLogger("tlctx").addHandler(Journal())
    logging.getLogger("tlctx").propagate = False
    scenario = RequestScenario()
    while line := sys.stdin.readline():
        thread, what = json.loads(line)
        print(json.dumps(scenario.report(thread, what) if what else scenario.end()), flush=True)
        if not what:
            os._exit(0)
    os._exit(1)


def perform_scenarios() -> None:
    """Perform each in a process of its own, so that all begin alike."""
    print(json.dumps(tlctx.IMPLEMENTATION), flush=True)
    while True:
        child = os.fork()
        if child == 0:
            perform_scenario()
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status > 0:
            break
        if status < 0:
            print(json.dumps({"died": signal.Signals(-status).name}), flush=True)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))
    perform_scenarios()
