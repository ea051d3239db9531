"""Where the program of `ways.py` counts its readings: one tally in each process that runs a part of it."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

RIGHT, FOREIGN, MISSING = "right", "foreign", "missing"


class Tally:
    """How often each place saw what it had to see, something else, or nothing; and other numbers."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._examples: list[str] = []
        self._told: set[str] = set()

    def look(self, place: str, expected: object, read: Callable[[], object]) -> None:
        """Read a value, which has to be `expected`."""
        try:
            seen = read()
        except Exception as error:
            self.note(place, MISSING, f"{expected!r}: {type(error).__name__}: {error}")
        else:
            outcome = RIGHT if seen == expected else MISSING if seen is None else FOREIGN
            self.note(place, outcome, f"{expected!r}: {seen!r}")

    def note(self, place: str, outcome: str, example: str = "") -> None:
        """Count one reading. The first wrong one of its kind is an example: what was expected, and what came."""
        name = f"{outcome}: {place}"
        with self._lock:
            self._counts[name] += 1
            if outcome != RIGHT and name not in self._told:
                self._told.add(name)
                self._examples.append(f"{outcome} in {place}, where it had to be {example}")

    def add(self, number: str) -> None:
        """Count something that is no reading."""
        with self._lock:
            self._counts[number] += 1

    def report(self) -> dict[str, Any]:
        """All of it, as JSON has it."""
        with self._lock:
            return {"counts": dict(self._counts), "examples": list(self._examples)}

    def take(self) -> dict[str, Any]:
        """The same, and begin anew."""
        with self._lock:
            taken = {"counts": dict(self._counts), "examples": list(self._examples)}
            self._counts.clear()
            self._examples.clear()
            return taken


def split(name: str) -> tuple[str, str, str]:
    """Outcome, place and aspect in the name of a count: "right: thread: per_request". No place if it is no reading."""
    outcome, _, place = name.partition(": ")
    place, _, aspect = place.partition(": ")
    return outcome, place, aspect


tally = Tally()
