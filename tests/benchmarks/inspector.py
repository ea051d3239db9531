"""The live view: the same Flask request with the view mounted, at which nobody looks, and without it.

What the two differ by is about a percent, so a server without the view is measured against another one without it, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks import bench_app
from benchmarks.flask import Pairs, rows_in_process, rows_through_gunicorn
from benchmarks.measure import Effort, Job, Row

if TYPE_CHECKING:
    from collections.abc import Iterator

IN_PROCESS = "a Flask request, an idle live view"
THROUGH_GUNICORN = "CPU of a Flask request, an idle live view, gunicorn"
PAIRS: Pairs = (
    ("without the view", "with the view", "without"), ("without, against without again", "without again", "without"),
)  # fmt: skip


def in_process(effort: Effort) -> Iterator[Row]:
    return rows_in_process(IN_PROCESS, bench_app.VIEWED, PAIRS, effort)


def through_gunicorn(effort: Effort) -> Iterator[Row]:
    return rows_through_gunicorn(THROUGH_GUNICORN, bench_app.VIEWED, PAIRS, effort)


JOBS = [Job("a request in process", in_process, 25), Job("a request through gunicorn", through_gunicorn, 120)]
