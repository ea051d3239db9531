"""The pages of the notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, Response, current_app, flash, redirect, render_template, request, url_for
from werkzeug.exceptions import NotFound

from notebook.context import current_user
from notebook.export import csv_lines
from notebook.exports import find_export, start_export
from notebook.notes import change_note, create_note, delete_note, find_notes, get_note
from notebook.validation import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flask.typing import ResponseReturnValue

__all__ = ["views"]

views = Blueprint("views", __name__)


@views.before_request
def only_for_users() -> None:
    """Visitors are asked to sign in."""
    current_user()


@views.get("/")
def list_notes() -> str:
    """The user's notes, or those that a search finds."""
    page = find_notes(request.args.get("q", ""), request.args.get("page", 1, int))
    return render_template("notes.html", page=page)


@views.get("/notes.csv")
def export_notes() -> Response:
    """All of the user's notes in a file."""
    return _file(csv_lines())


@views.get("/export")
def show_export() -> str:
    """The export that is made in the background; while it is not ready, the page looks again."""
    return render_template("export.html", export=find_export())


@views.post("/export")
def start_export_form() -> ResponseReturnValue:
    """Begin a new one."""
    start_export(current_app.extensions["notebook.run_later"])
    return redirect(url_for(".show_export"), 303)


@views.get("/export.csv")
def download_export() -> Response:
    """The file, once it is ready."""
    export = find_export()
    if export is None or export.state != "ready":
        raise NotFound("There is no export of yours that is ready.")
    return _file(export.content)


def _file(content: Iterable[str] | str) -> Response:
    response = Response(content, mimetype="text/csv")
    response.headers.set("Content-Disposition", "attachment", filename=f"notes-of-{current_user().name}.csv")
    return response


@views.get("/notes/new")
def new_note_page() -> str:
    """The form for a new note."""
    return render_template("note_form.html", note=None, errors={})


@views.post("/notes/new")
def new_note_form() -> ResponseReturnValue:
    """Write a new note."""
    try:
        note = create_note(request.form["title"], request.form["body"])
    except InvalidInput as invalid:
        return render_template("note_form.html", note=None, errors=invalid.errors), 422
    flash("The note is saved.")
    return redirect(url_for(".show_note", note_id=note.id), 303)


@views.get("/notes/<int:note_id>")
def show_note(note_id: int) -> str:
    """One note."""
    return render_template("note.html", note=get_note(note_id))


@views.get("/notes/<int:note_id>/edit")
def edit_note_page(note_id: int) -> str:
    """The form for a note that exists."""
    return render_template("note_form.html", note=get_note(note_id), errors={})


@views.post("/notes/<int:note_id>/edit")
def edit_note_form(note_id: int) -> ResponseReturnValue:
    """Rewrite a note."""
    note = get_note(note_id)
    try:
        change_note(note, request.form["title"], request.form["body"])
    except InvalidInput as invalid:
        return render_template("note_form.html", note=note, errors=invalid.errors), 422
    flash("The note is saved.")
    return redirect(url_for(".show_note", note_id=note_id), 303)


@views.post("/notes/<int:note_id>/delete")
def delete_note_form(note_id: int) -> ResponseReturnValue:
    """Delete a note."""
    delete_note(get_note(note_id))
    flash("The note is deleted.")
    return redirect(url_for(".list_notes"), 303)
