"""Attributes: reading, writing and deleting one, and a context's field, also in a coroutine, against every rival."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING

from benchmarks.measure import Effort, Job, Row, compare, statement
from benchmarks.rivals import CONTEXT_VAR, FLASK_G, READ, RIVALS, STATEMENTS, THREAD_LOCAL, WRITE, Rival

import tlctx
from tlctx._core.propagation import attach, detach

if TYPE_CHECKING:
    from collections.abc import Iterator

FIELD_RIVALS = (THREAD_LOCAL, CONTEXT_VAR, FLASK_G)
READ_FIELD = "read a context's field"
READ_IN_COROUTINE = "read a context's field in a coroutine"
WRITE_IN_COROUTINE = "write a context's field in a coroutine"
ATTACH = "attach and detach a scope in a coroutine"


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


async def in_coroutine(effort: Effort) -> list[Row]:
    """The rows of a context in a coroutine; a scope that is attached and detached, against a variable set and reset."""
    floor, variable, ctx, name = statement("pass", None), CONTEXT_VAR.make(), Ctx(), CONTEXT_VAR.name
    works = {READ_IN_COROUTINE: ("o.x", "o.get()"), WRITE_IN_COROUTINE: ("o.x = 1", "o.set(1)")}
    with ctx.scope():
        variable.set(1)
        found = [
            Row(work, name, compare(floor, statement(mine, ctx), statement(theirs, variable), effort))
            for work, (mine, theirs) in works.items()
        ]
    scope = tlctx.Scope(ctx)
    attaching = statement("attach(o); detach(o)", scope, attach=attach, detach=detach)
    found.append(Row(ATTACH, name, compare(floor, attaching, statement("o.reset(o.set(1))", variable), effort)))
    scope.close()
    return found


def coroutine_rows(effort: Effort) -> Iterator[Row]:
    yield from asyncio.run(in_coroutine(effort))


JOBS = [
    *(Job(rival.name, functools.partial(rows, rival), 1 + 0.5 * len(works(rival))) for rival in RIVALS),
    Job("in a coroutine", coroutine_rows, 2.5),
]
