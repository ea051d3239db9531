"""What goes wrong, as a page or as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import redirect, render_template, request, url_for
from werkzeug.exceptions import HTTPException, NotFound, Unauthorized

from notebook.context import SignInRequired
from notebook.notes import NoSuchNote

if TYPE_CHECKING:
    from flask import Flask
    from flask.typing import ResponseReturnValue

__all__ = ["init_app"]


def init_app(app: Flask) -> None:
    """Have every error answered here, those that nobody expected included."""
    app.register_error_handler(HTTPException, _answer)
    app.register_error_handler(NoSuchNote, _no_such_note)
    app.register_error_handler(SignInRequired, _ask_to_sign_in)


def _answer(error: HTTPException) -> ResponseReturnValue:
    headers = [(name, value) for name, value in error.get_headers() if name != "Content-Type"]
    body = {"error": error.description} if _wants_json() else render_template("error.html", error=error)
    return body, error.code or 500, headers


def _no_such_note(_error: NoSuchNote) -> ResponseReturnValue:
    return _answer(NotFound("There is no such note in your notebook."))


def _ask_to_sign_in(_error: SignInRequired) -> ResponseReturnValue:
    if _wants_json():
        return _answer(Unauthorized("Sign in first."))
    return redirect(url_for("auth.sign_in_page"), 303)


def _wants_json() -> bool:
    return request.path.startswith("/api/")
