"""What a run found: a table, and each survivor as a diff."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING

from mutation.judge import Verdict
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from rich.console import Console

EVERY = 20
"""After so many mutants what is known is saved."""


def score(verdicts: Iterable[Verdict]) -> float:
    """The share of mutants that were caught, in percent, of those that can be."""
    counted = [verdict for verdict in verdicts if verdict.status != "equivalent"]
    return 100 * sum(verdict.is_caught for verdict in counted) / len(counted) if counted else 100.0


def table(verdicts: list[Verdict]) -> Table:
    """A row for each file, and one for all."""
    rows: dict[str, list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        rows[verdict.file].append(verdict)
    made = Table("file", *("mutants", "caught", "hung", "survived", "equivalent", "score"))
    made.columns[0].no_wrap = True
    for column in made.columns[1:]:
        column.justify = "right"
    for file, some in sorted(rows.items()):
        made.add_row(file, *_cells(some))
    made.add_section()
    made.add_row("all", *_cells(verdicts))
    return made


def _cells(verdicts: list[Verdict]) -> list[str]:
    caught = sum(verdict.is_caught for verdict in verdicts)
    counts = {
        status: sum(each.status == status for each in verdicts) for status in ("timeout", "survived", "equivalent")
    }
    return [str(number) for number in (len(verdicts), caught, *counts.values())] + [f"{score(verdicts):.1f} %"]


def show(console: Console, verdicts: list[Verdict]) -> None:
    """Print the survivors and the table."""
    for verdict in verdicts:
        if verdict.status == "survived":
            place = f"{verdict.file}:{verdict.line}"
            console.rule(f"{verdict.id}  {place}  {verdict.operator}", align="left")
            met = f"{verdict.tests} tests met it" if verdict.tests else "no test met it"
            console.print(f"{verdict.diff}\n({met})", markup=False, highlight=False, soft_wrap=True)
    console.print(table(verdicts))


class Saved:
    """The verdicts by mutant, saved as JSON every now and then, so that a run that was stopped can go on."""

    def __init__(self, path: Path | None, *, resume: bool) -> None:
        self._path = path
        older = json.loads(path.read_text()) if path is not None and resume and path.exists() else []
        self.verdicts = {each["id"]: Verdict(**each) for each in older}

    def add(self, verdict: Verdict) -> None:
        """Keep one."""
        self.verdicts[verdict.id] = verdict
        if len(self.verdicts) % EVERY == 0:
            self.write()

    def write(self) -> None:
        """Save them all."""
        if self._path is not None:
            made = [verdict.as_dict() for verdict in self.verdicts.values()]
            self._path.write_text(json.dumps(made, indent=1) + "\n")


def survivors(path: Path) -> set[str]:
    """The ids of those that survived in a run that was saved."""
    return {verdict["id"] for verdict in json.loads(path.read_text()) if verdict["status"] == "survived"}
