"""What can be done with notes. Nothing here knows of Flask, and nothing is handed the user or the session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Select, or_, select

from notebook.context import ctx, current_user
from notebook.models import Note
from notebook.validation import InvalidInput, clean

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["NoSuchNote", "Page", "change_note", "create_note", "delete_note", "every_note", "find_notes", "get_note"]

PAGE_SIZE = 20
LONGEST_TITLE = 200
LONGEST_BODY = 20_000
LARGEST_ID = LAST_PAGE = 2**31 - 1


class NoSuchNote(LookupError):  # noqa: N818 (the page that answers it calls it no error either)
    """There is no such note, or it is somebody else's: the difference is nobody's business."""


@dataclass(frozen=True)
class Page:
    """Some of the user's notes, newest first."""

    notes: Sequence[Note]
    number: int
    search: str
    has_next: bool


def find_notes(search: str = "", number: int = 1) -> Page:
    """A page of the user's notes, only those that contain `search` if that is given."""
    search = clean(search)[:LONGEST_TITLE]
    number = min(max(number, 1), LAST_PAGE)
    query = _own_notes().order_by(Note.id.desc())
    if search:
        query = query.where(or_(*(column.icontains(search, autoescape=True) for column in (Note.title, Note.body))))
    found = ctx.db.scalars(query.offset((number - 1) * PAGE_SIZE).limit(PAGE_SIZE + 1)).all()
    return Page(found[:PAGE_SIZE], number, search, has_next=len(found) > PAGE_SIZE)


def every_note() -> Iterator[Note]:
    """All the user's notes, oldest first, fetched as they are taken."""
    with ctx.db.scalars(_own_notes().order_by(Note.id).execution_options(yield_per=100)) as notes:
        yield from notes


def get_note(note_id: int) -> Note:
    """One note of the user's. Raises NoSuchNote."""
    note = ctx.db.scalar(_own_notes().where(Note.id == note_id)) if note_id <= LARGEST_ID else None
    if note is None:
        raise NoSuchNote(note_id)
    return note


def create_note(title: str, body: str) -> Note:
    """Write a new note. Raises InvalidInput."""
    title, body = _checked(title, body)
    note = Note(owner_id=current_user().id, title=title, body=body)
    ctx.db.add(note)
    ctx.db.commit()
    return note


def change_note(note: Note, title: str, body: str) -> None:
    """Rewrite a note. Raises InvalidInput."""
    note.title, note.body = _checked(title, body)
    ctx.db.commit()


def delete_note(note: Note) -> None:
    """Delete a note for good."""
    ctx.db.delete(note)
    ctx.db.commit()


def _own_notes() -> Select[Note]:
    return select(Note).where(Note.owner_id == current_user().id)


def _checked(title: str, body: str) -> tuple[str, str]:
    title, body = " ".join(clean(title).split()), clean(body)
    errors = {}
    if not title:
        errors["title"] = "Give the note a title."
    if len(title) > LONGEST_TITLE:
        errors["title"] = f"Keep the title under {LONGEST_TITLE + 1} characters; it has {len(title)}."
    if len(body) > LONGEST_BODY:
        errors["body"] = f"Keep the note under {LONGEST_BODY + 1:,} characters; it has {len(body):,}."
    if errors:
        raise InvalidInput(errors)
    return title, body
