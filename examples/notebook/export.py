"""The notes as CSV, a few lines at a time."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from notebook.context import current_user
from notebook.notes import every_note

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["csv_lines"]

_BEGINS_A_FORMULA = ("=", "+", "-", "@")


def csv_lines() -> Iterator[str]:
    """The user's notes, line by line.

    The server takes these while it sends them, long after the view has returned. The request goes on until the last
    one, so `ctx` is what it was in the view.
    """
    yield _line("Owner", "Title", "Body", "Created", "Changed")
    for note in every_note():
        times = note.created_at.isoformat(), note.changed_at.isoformat()
        yield _line(current_user().name, note.title, note.body, *times)


def _line(*cells: str) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(map(_harmless, cells))
    return line.getvalue()


def _harmless(cell: str) -> str:
    # A spreadsheet runs a cell that looks like a formula; the apostrophe tells it that this is text.
    return f"'{cell}" if cell.lstrip().startswith(_BEGINS_A_FORMULA) else cell
