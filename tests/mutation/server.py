"""A fork server: it has imported what takes long, but not tlctx, and runs each job in a child of its own.

A job comes as a line of JSON on stdin: the ids of the tests, the module to serve and its source, a timeout. How it
ended goes as a line to stdout: "survived", "caught", "error", "timeout" or "crash".
"""

from __future__ import annotations

import asyncio  # noqa: F401  # it and others are here for the children
import builtins
import contextlib
import gc
import json
import os
import resource
import select
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import _pytest.assertion.rewrite
import _pytest.logging
import _pytest.unittest  # noqa: F401
import coverage
import flask
import flask.testing  # noqa: F401
import hypothesis  # noqa: F401
import pytest
import pytest_timeout  # type: ignore[import-untyped]
import werkzeug.test  # noqa: F401
from cosmic_ray.exceptions import CosmicRayTestingException  # type: ignore[import-untyped]
from mutation.finder import serve
from mutation.plugins import Recorder, Selection, Tidy

OUTCOMES = {pytest.ExitCode.OK: "survived", pytest.ExitCode.TESTS_FAILED: "caught"}
OPTIONS = ["-q", "--tb=no", "-p", "no:cacheprovider"]
MEMORY = 4 << 30
PATIENCE = 4


def main() -> None:
    """Run jobs until there are no more."""
    gc.freeze()
    for line in sys.stdin:
        job = json.loads(line)
        began = time.monotonic()
        status = run(job)
        sys.stdout.write(json.dumps({"status": status, "seconds": time.monotonic() - began}) + "\n")
        sys.stdout.flush()


def run(job: dict[str, Any]) -> str:
    """How the job ended, in a child."""
    child = os.fork()
    if child == 0:
        status = 70
        try:
            status = _child(job)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    ended = _wait(child, PATIENCE * job["timeout"])  # its own limit is CPU time: other work may keep it waiting
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # it, or what it left
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if not ended or code in (-signal.SIGXCPU, -signal.SIGALRM):
        return "timeout"
    return "crash" if code < 0 else OUTCOMES.get(code, "error")  # type: ignore[call-overload]


def _wait(child: int, timeout: float) -> bool:
    """Whether it ended in time."""
    handle = os.pidfd_open(child)
    try:
        return bool(select.select([handle], [], [], timeout)[0])
    finally:
        os.close(handle)


def _child(job: dict[str, Any]) -> int:
    os.setsid()
    _redirect(job.get("log", os.devnull))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    seconds = int(job["timeout"]) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    return int(pytest.main([*OPTIONS, *job["arguments"]], _plugins(job)))


def _plugins(job: dict[str, Any]) -> list[Any]:
    plugins: list[Any] = [pytest_timeout, Tidy()]
    recorded = None
    if job.get("measured"):
        recorded = coverage.Coverage(data_file=None, config_file=False, include=job["measured"])
        recorded.start()
    if "module" in job:
        vars(builtins)[CosmicRayTestingException.__name__] = CosmicRayTestingException
        serve(job["module"], Path(job["path"]), job["source"])
    if "tests" in job:
        plugins.append(Selection(job["tests"]))
    if "record" in job:
        plugins.append(Recorder(Path(job["record"]), recorded))
    return plugins


def _redirect(log: str) -> None:
    for number, path, flags in ((0, os.devnull, os.O_RDONLY), (1, log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)):
        handle = os.open(path, flags, 0o600)
        os.dup2(handle, number)
        os.close(handle)
    os.dup2(1, 2)


if __name__ == "__main__":
    main()
