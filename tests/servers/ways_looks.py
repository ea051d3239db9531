"""The readings of the program of `ways.py`: what code has to see, wherever it runs."""

from __future__ import annotations

import asyncio
from typing import Any

from servers.ways_context import ctx
from servers.ways_tally import FOREIGN, RIGHT, tally

from tlctx import OutsideRequestError


def own_work() -> Any:
    """What `per_request` makes here, to compare with; where it can't, the readings tell."""
    return getattr(ctx, "work", None)


def look(place: str, user: str) -> None:
    """The value is this request's, and what `per_request` makes was made for it."""
    tally.look(place, user, lambda: ctx.user)
    tally.look(f"{place}: per_request", user, lambda: ctx.work.user)


def look_apart(place: str, user: str, work: Any) -> None:
    """The same in a scope of its own, whose `per_request` value is not `work`. What it writes, it reads again."""
    look(place, user)
    tally.look(f"{place}: its own per_request", True, lambda: ctx.work is not work)
    write_step(place, user)
    look_step(place, user)


def look_shared(place: str, user: str, work: Any) -> None:
    """The same in the request's own scope, where the `per_request` value is `work`."""
    look(place, user)
    tally.look(f"{place}: the request's per_request", True, lambda: ctx.work is work)


async def look_in_turns(place: str, user: str, work: Any) -> None:
    """The same in a coroutine, before and after others had their turn."""
    look_shared(place, user, work)
    await asyncio.sleep(0)
    look_shared(place, user, work)


def look_outside(place: str) -> None:
    """Nobody handed the context on to here: there must be nothing."""
    try:
        seen = ctx.user
    except (OutsideRequestError, AttributeError):
        tally.note(place, RIGHT)
    else:
        tally.note(place, FOREIGN, f"nothing: {seen!r}")


def write_step(place: str, user: str) -> None:
    ctx.step = f"{place} of {user}"


def look_step(place: str, user: str) -> None:
    """What this scope has written was not changed by another one."""
    tally.look(f"{place}: what it wrote", f"{place} of {user}", lambda: ctx.step)
