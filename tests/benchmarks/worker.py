"""One job in a process of its own: `worker.py GROUP JOB EFFORT` prints each row as a line of JSON."""

from __future__ import annotations

import gc
import importlib
import json
import sys
from dataclasses import asdict
from pathlib import Path

if not __package__:  # run as a command: its own folder stays off the path, where its modules would hide others
    sys.path[0] = str(Path(__file__).parent.parent)

from benchmarks.measure import EFFORTS

import tlctx


def main(group: str, name: str, effort: str) -> None:
    jobs = importlib.import_module(f"benchmarks.{group}").JOBS
    (job,) = [job for job in jobs if job.name == name]
    gc.freeze()  # what is imported by now is no garbage: no side has to look through it
    for row in job.rows(EFFORTS[effort]):
        print(json.dumps({"implementation": tlctx.IMPLEMENTATION, **asdict(row)}), flush=True)  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
