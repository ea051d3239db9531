"""Two users at once: a load that this server is put under, over HTTP as from any client, and what came back.

One runs at a time, of so many requests, for so many seconds: whoever comes meanwhile sees the one that runs. It is run
by a thread that serves no request. A view that waited for its own server would never end where all threads do that.
"""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from datetime import timedelta
from http.client import HTTPConnection, HTTPException
from itertools import product
from typing import TYPE_CHECKING, Literal

from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError

from notebook.database import sessions
from notebook.models import Race, now

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

__all__ = ["EACH", "USERS", "VARIANTS", "Answer", "find_race", "is_running", "start_race"]

Variant = Literal["global", "context"]

VARIANTS: tuple[Variant, ...] = ("global", "context")
USERS = ("ann", "ben")
EACH = 100
"""How many requests each user sends to each variant."""
AT_ONCE = 8
SECONDS = 20
PATIENCE = 5
"""How long a request waits for its answer, in seconds."""


@dataclass(frozen=True)
class Answer:
    """One answer: whose it should be, whose it was, and which thread it came from, and when."""

    variant: Variant
    asked: str
    got: str | None = None
    process: int = 0
    thread: str = ""
    began: float = 0
    ended: float = 0

    @property
    def is_foreign(self) -> bool:
        """Whether it was somebody else's."""
        return self.got not in (None, self.asked)


def find_race() -> tuple[Race | None, list[Answer]]:
    """The race that runs, or the last one, and its answers so far."""
    with sessions() as session:
        race = session.scalar(select(Race).order_by(Race.id.desc()).limit(1))
    return race, [] if race is None else [Answer(**each) for each in json.loads(race.answers)]


def is_running(race: Race | None) -> bool:
    """Whether there will be more answers; one whose process was killed is over when its time is."""
    return race is not None and bool(race.running) and race.begun_at > _latest_begin()


def _latest_begin() -> datetime:
    return now() - timedelta(seconds=SECONDS + 2 * PATIENCE)


def start_race(address: tuple[str, int], path_of: Callable[[str, str], str]) -> bool:
    """Begin one on the server at that address, unless one runs. Returns whether it has begun one.

    `path_of` has the path to ask for, of a variant and a user.
    """
    questions = [(variant, user, path_of(variant, user)) for _, variant, user in product(range(EACH), VARIANTS, USERS)]
    try:
        with sessions.begin() as session:
            session.execute(delete(Race).where(Race.running.is_(None) | (Race.begun_at <= _latest_begin())))
            session.add(race := Race(running=True))
    except IntegrityError:  # somebody else was first
        return False
    threading.Thread(target=_run, args=(race.id, address, questions), name="two-users", daemon=True).start()
    return True


def _run(race_id: int, address: tuple[str, int], questions: list[tuple[Variant, str, str]]) -> None:
    deadline = time.monotonic() + SECONDS
    with ThreadPoolExecutor(AT_ONCE, "two-users") as pool:
        asked = [pool.submit(_ask, address, *question, deadline) for question in questions]
        running = True
        while running:
            done, missing = wait(asked, timeout=0.2)
            running = bool(missing)
            _note(race_id, [future.result() for future in asked if future in done], running=running)


def _note(race_id: int, answers: list[Answer], *, running: bool) -> None:
    values = {"running": running or None, "answers": json.dumps([asdict(answer) for answer in answers])}
    with sessions.begin() as session:
        session.execute(update(Race).where(Race.id == race_id).values(**values))


def _ask(address: tuple[str, int], variant: Variant, user: str, path: str, deadline: float) -> Answer:
    """One request, on a connection of its own, so that any process of the server may get it."""
    if time.monotonic() > deadline:
        return Answer(variant, user)
    connection = HTTPConnection(*address, timeout=PATIENCE)
    try:
        connection.request("GET", path)
        return Answer(variant, user, **json.loads(connection.getresponse().read()))
    except (OSError, HTTPException, ValueError, TypeError):
        return Answer(variant, user)
    finally:
        connection.close()
