"""The engine: it measures sides in turn, round after round, and makes a figure of the rounds.

A figure is ours over theirs. In each round every side runs for a slice of time, so that whatever else the machine does
meets all of them; the floor, what both sides have in common, is subtracted from both; the ratio of what is left is the
round's, and the figure is the median of the rounds.
"""

from __future__ import annotations

import math
import statistics
import timeit
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

Run = Callable[[int], float]
"""Does its work this many times, and returns the seconds that took."""
MOST = 10_000_000  # of the work, in one slice
LOST = 0.25
"""The share of rounds that may be lost in the floor's noise before there is no figure."""


@dataclass(frozen=True)
class Effort:
    """How long to measure: the rounds, and the seconds a side runs in each."""

    rounds: int = 31
    slice: float = 0.005
    trial: bool = False

    def count(self, full: int, trial: int) -> int:
        """How many of something there are, where time does not bound it."""
        return trial if self.trial else full


EFFORTS = {
    "full": Effort(),
    "short": Effort(rounds=21),
    "trial": Effort(rounds=3, slice=0.0003, trial=True),
}
FULL = EFFORTS["full"]


@dataclass(frozen=True)
class Figure:
    """Ours over theirs: median, quartiles and extremes of the rounds, and what each side came to, floor included."""

    ratio: float | None
    lowest: float | None
    lower_quartile: float | None
    upper_quartile: float | None
    highest: float | None
    ours: float
    theirs: float
    floor: float
    rounds: int
    lost: int
    """Rounds in which a side was not above the floor."""
    low: float | None = None
    """The ends of the interval that has the true median in 95 of 100 cases."""
    high: float | None = None


@dataclass(frozen=True)
class Row:
    """One kind of work against one rival, for one implementation."""

    work: str
    rival: str
    figure: Figure | None
    unit: str = "ns"
    problem: str = ""
    """Why there is no figure."""
    more_is_better: bool = False
    close: bool = False
    """Whether the sides are so close that the median's interval says more than the quartiles."""


@dataclass(frozen=True)
class Job:
    """Rows that are measured in one process; nothing of another job is imported there."""

    name: str
    rows: Callable[[Effort], Iterable[Row]]
    seconds: float
    """About how long it takes, for the progress bar."""


def statement(code: str, subject: Any, **names: Any) -> Run:
    """Runs `code` in a loop, in which `o` is the subject, and may use `names`."""
    return timeit.Timer(code, "o = subject", globals={"subject": subject, **names}).timeit


def calling(function: Callable[[], object], clock: Callable[[], float] = timeit.default_timer) -> Run:
    """Calls `function` in a loop, with the garbage collector on: what it leaves to collect is part of its cost."""
    return timeit.Timer("o()", "import gc; gc.enable(); o = subject", clock, globals={"subject": function}).timeit


def loops(run: Run, seconds: float) -> int:
    """How often to do the work in a slice of this many seconds."""
    number = 1
    while (spent := run(number)) < seconds / 4 and number < MOST:
        number *= 4
    return min(MOST, max(1, round(number * seconds / max(spent, 1e-9))))


def in_turn(runs: Sequence[Run], effort: Effort) -> list[tuple[float, ...]]:
    """What one piece of each work takes, in nanoseconds, in every round."""
    numbers = [loops(run, effort.slice) for run in runs]
    rounds = []
    for number in range(effort.rounds):
        spent = [0.0] * len(runs)
        for place in turned(range(len(runs)), number):
            spent[place] = runs[place](numbers[place]) / numbers[place] * 1e9
        rounds.append(tuple(spent))
    return rounds


def turned(order: Sequence[Any], number: int) -> Sequence[Any]:
    """The order of a round: every other one goes backwards, so that none always comes after the same."""
    return order[::-1] if number % 2 else order


def figure(rounds: Iterable[Sequence[float]]) -> Figure:
    """The figure of rounds that are each the floor, ours and theirs."""
    floors, ours, theirs = zip(*rounds, strict=True)
    ratios = [
        (mine - floor) / (other - floor)
        for floor, mine, other in zip(floors, ours, theirs, strict=True)
        if mine > floor and other > floor
    ]
    lost = len(floors) - len(ratios)
    found = (None,) * 5 if lost > LOST * len(floors) else five_numbers(ratios)
    middle, lowest, lower, upper, highest = found
    low, high = interval(ratios) if middle is not None else (None, None)
    return Figure(
        middle, lowest, lower, upper, highest,
        statistics.median(ours), statistics.median(theirs), statistics.median(floors), len(floors), lost, low, high,
    )  # fmt: skip


def five_numbers(values: list[float]) -> tuple[float, float, float, float, float]:
    """Median, lowest, both quartiles, highest."""
    lower, middle, upper = statistics.quantiles(values * 2 if len(values) == 1 else values, n=4, method="inclusive")
    return middle, min(values), lower, upper, max(values)


def interval(values: list[float]) -> tuple[float, float]:
    """Where the true median is in 95 of 100 cases, by the ranks alone: whatever the values' distribution is.

    The number of values below the true median is that of heads in as many tosses of a coin.
    """
    number, outside, left_out = len(values), 0.0, 0
    while (outside := outside + math.comb(number, left_out) / 2**number) <= 0.025:
        left_out += 1
    ranked = sorted(values)
    first = max(left_out - 1, 0)
    return ranked[first], ranked[number - 1 - first]


def compare(floor: Run, ours: Run, theirs: Run, effort: Effort) -> Figure:
    return figure(in_turn((floor, ours, theirs), effort))
