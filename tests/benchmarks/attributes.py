"""Attributes: reading, writing and deleting one, and reading a context's field, against every rival."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from benchmarks.measure import Effort, Job, Row, compare, statement
from benchmarks.rivals import CONTEXT_VAR, FLASK_G, READ, RIVALS, STATEMENTS, THREAD_LOCAL, WRITE, Rival

import tlctx

if TYPE_CHECKING:
    from collections.abc import Iterator

FIELD_RIVALS = (THREAD_LOCAL, CONTEXT_VAR, FLASK_G)
READ_FIELD = "read a context's field"


class Ctx(tlctx.RequestContext):
    """One declared field."""

    x: int = 1


def rows(rival: Rival, effort: Effort) -> Iterator[Row]:
    try:
        theirs = rival.make()
    except ImportError:
        yield from (
            Row(work, rival.name, None, problem=f"not installed: {rival.distribution}") for work in works(rival)
        )
        return
    floor, ours, ctx = statement("pass", None), tlctx.local(), Ctx()
    statement(rival.statements[WRITE], theirs)(1)
    ours.x = 1
    for work, code in STATEMENTS.items():
        other = statement(rival.statements[work], theirs)
        yield Row(work, rival.name, compare(floor, statement(code, ours), other, effort))
        ours.x = 1
        statement(rival.statements[WRITE], theirs)(1)
    if rival in FIELD_RIVALS:
        other = statement(rival.statements[READ], theirs)
        with ctx.scope():
            yield Row(READ_FIELD, rival.name, compare(floor, statement("o.x", ctx), other, effort))


def works(rival: Rival) -> list[str]:
    return [*STATEMENTS, *([READ_FIELD] if rival in FIELD_RIVALS else [])]


JOBS = [Job(rival.name, functools.partial(rows, rival), 1 + 0.5 * len(works(rival))) for rival in RIVALS]
