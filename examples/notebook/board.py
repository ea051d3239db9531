"""What the page "Two users at once" draws of the answers of one variant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from notebook.race import EACH, USERS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from notebook.race import Answer, Variant

__all__ = ["Board", "board"]

LENGTH = 250
SHOWN_SECONDS = 0.6
"""Of the threads' work the beginning is drawn: all of it would be too fine to see."""


@dataclass(frozen=True)
class Bar:
    """A request: where its bar begins on a line of the length `LENGTH`, and how long it is."""

    x: float
    width: float
    answer: Answer


@dataclass(frozen=True)
class Board:
    """One variant's answers, by user, and the threads that gave them."""

    variant: Variant
    rows: dict[str, list[Answer]]
    lanes: list[list[Bar]]
    count: int
    foreign: int
    failed: int
    each: int = EACH


def board(variant: Variant, answers: Iterable[Answer]) -> Board:
    """Sort the answers for the drawing."""
    own = [answer for answer in answers if answer.variant == variant]
    rows = {user: [answer for answer in own if answer.asked == user] for user in USERS}
    failed = sum(answer.got is None for answer in own)
    foreign = sum(answer.is_foreign for answer in own)
    return Board(variant, rows, _lanes(own), len(own), foreign, failed)


def _lanes(answers: list[Answer]) -> list[list[Bar]]:
    """A lane for each thread, those of one process beside each other."""
    served = [answer for answer in answers if answer.thread]
    start = min((answer.began for answer in served), default=0)
    lanes: dict[tuple[int, str], list[Bar]] = {}
    for answer in served:
        x = (answer.began - start) / SHOWN_SECONDS * LENGTH
        width = min((answer.ended - answer.began) / SHOWN_SECONDS * LENGTH, LENGTH - x)
        if width > 0:
            lanes.setdefault((answer.process, answer.thread), []).append(Bar(round(x, 2), round(width, 2), answer))
    return [lanes[key] for key in sorted(lanes)]
