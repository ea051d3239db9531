"""CSRF protection: who writes must show a token that only pages of this session have."""

from __future__ import annotations

import secrets
from hmac import compare_digest
from typing import TYPE_CHECKING

from flask import request, session
from werkzeug.exceptions import BadRequest

if TYPE_CHECKING:
    from flask import Flask

__all__ = ["csrf_token", "init_app"]

FIELD = "csrf_token"
HEADER = "X-CSRF-Token"


def init_app(app: Flask) -> None:
    """Check each request that may change something, and give templates `csrf_token()`."""
    app.before_request(_check)
    app.jinja_env.globals["csrf_token"] = csrf_token


def csrf_token() -> str:
    """The token of this session, to be sent back as a form's field or in the header."""
    if FIELD not in session:
        session[FIELD] = secrets.token_urlsafe(32)
    token: str = session[FIELD]
    return token


def _check() -> None:
    if request.method in {"GET", "HEAD", "OPTIONS"}:
        return
    sent = request.headers.get(HEADER) or request.form.get(FIELD, "")
    if not compare_digest(sent.encode(), session.get(FIELD, "").encode()) or not sent:
        raise BadRequest("The form is out of date. Go back, reload the page and send it again.")
