"""A process that tells stories: `python tell.py` reads commands and prints what comes of each.

Which twin runs in it is for the environment to say.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import resource
import signal
import sys

from support.helpers import PATIENCE
from differential.application import Ctx
from differential.requests import RequestStory

import tlctx

LIMIT = 2**30
"""Bytes of memory that the process may have: a story may go round in circles."""


class Journal(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        Ctx.story.note("logged", record.getMessage(), type(error).__name__)


def tell_a_story() -> None:
    """Perform the commands of the standard input, one a line, and print what comes of each."""
    gc.freeze()
    gc.disable()
    sys.setswitchinterval(PATIENCE)
    sys.unraisablehook = lambda raised: Ctx.story.note("unraisable", repr(raised.exc_value))
    logging.getLogger("tlctx").addHandler(Journal())
    logging.getLogger("tlctx").propagate = False
    story = RequestStory()
    while line := sys.stdin.readline():
        thread, what = json.loads(line)
        print(json.dumps(story.tell(thread, what) if what else story.end()), flush=True)
        if not what:
            os._exit(0)
    os._exit(1)


def tell_stories() -> None:
    """Tell each in a process of its own, so that all begin alike."""
    print(json.dumps(tlctx.IMPLEMENTATION), flush=True)
    while True:
        child = os.fork()
        if child == 0:
            tell_a_story()
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status > 0:
            break
        if status < 0:
            print(json.dumps({"died": signal.Signals(-status).name}), flush=True)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))
    tell_stories()
