"""The same notebook as JSON, for programs that have the session cookie. What they write needs the CSRF header."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Blueprint, request, url_for

from notebook.context import current_user
from notebook.csrf import csrf_token
from notebook.notes import change_note, create_note, delete_note, find_notes, get_note
from notebook.validation import InvalidInput

if TYPE_CHECKING:
    from notebook.models import Note

__all__ = ["api"]

Answer = dict[str, Any]

api = Blueprint("api", __name__, url_prefix="/api")


@api.before_request
def only_for_users() -> None:
    """Visitors get a 401."""
    current_user()


@api.errorhandler(InvalidInput)
def refuse(invalid: InvalidInput) -> tuple[Answer, int]:
    """Say what is wrong with the input."""
    return {"error": "The note can't be kept as it is.", "fields": invalid.errors}, 422


@api.get("/session")
def show_session() -> Answer:
    """Who is signed in, and the token for writing."""
    return {"user": current_user().name, "csrf_token": csrf_token()}


@api.get("/notes")
def list_notes() -> Answer:
    """A page of the notes, or of those that a search finds."""
    page = find_notes(request.args.get("q", ""), request.args.get("page", 1, int))
    return {
        "user": current_user().name,
        "notes": [_as_json(note) for note in page.notes],
        "page": page.number,
        "has_next": page.has_next,
    }


@api.post("/notes")
def add_note() -> tuple[Answer, int, dict[str, str]]:
    """Write a new note."""
    note = create_note(**_content())
    return _as_json(note), 201, {"Location": url_for(".show_note", note_id=note.id)}


@api.get("/notes/<int:note_id>")
def show_note(note_id: int) -> Answer:
    """One note."""
    return _as_json(get_note(note_id))


@api.patch("/notes/<int:note_id>")
def edit_note(note_id: int) -> Answer:
    """Rewrite what is given of a note."""
    note = get_note(note_id)
    change_note(note, **_content(title=note.title, body=note.body))
    return _as_json(note)


@api.delete("/notes/<int:note_id>")
def remove_note(note_id: int) -> tuple[str, int]:
    """Delete a note."""
    delete_note(get_note(note_id))
    return "", 204


def _content(title: str = "", body: str = "") -> dict[str, str]:
    given = request.get_json()
    if not isinstance(given, dict):
        raise InvalidInput({"title": "Send an object with a title and a body."})
    content = {"title": given.get("title", title), "body": given.get("body", body)}
    wrong = {name: "Send this as text." for name, value in content.items() if not isinstance(value, str)}
    if wrong:
        raise InvalidInput(wrong)
    return content


def _as_json(note: Note) -> Answer:
    return {
        "id": note.id,
        "title": note.title,
        "body": note.body,
        "owner": note.owner.name,
        "created_at": note.created_at.isoformat(),
        "changed_at": note.changed_at.isoformat(),
        "changed_by": note.changed_by.name if note.changed_by else None,
    }
