"""Who is asking: the session cookie, and the pages that set it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, current_app, flash, redirect, render_template, request, session, url_for

from notebook.accounts import check_password, find_user, sign_up
from notebook.context import ctx
from notebook.validation import InvalidInput

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue
    from werkzeug import Response

    from notebook.models import User

__all__ = ["auth"]

auth = Blueprint("auth", __name__)


@auth.before_app_request
def load_user() -> None:
    """Put the user into the context, where everything else finds them."""
    if request.endpoint != "static":
        ctx.user_id = session.get("user_id")
        ctx.user = user = find_user(ctx.user_id)
        ctx.user_name = None if user is None else user.name


@auth.get("/sign-up")
def sign_up_page() -> str:
    """The form for a new account."""
    return render_template("sign_up.html", errors={})


@auth.post("/sign-up")
def sign_up_form() -> ResponseReturnValue:
    """Open an account, and sign its user in."""
    try:
        user = sign_up(request.form["name"], request.form["password"], _method())
    except InvalidInput as invalid:
        return render_template("sign_up.html", errors=invalid.errors), 422
    answer = _sign_in(user)
    flash(f"Welcome, {user.name}. Your notebook is ready.")
    return answer


@auth.get("/sign-in")
def sign_in_page() -> str:
    """The form for an account that exists."""
    return render_template("sign_in.html", errors={})


@auth.post("/sign-in")
def sign_in_form() -> ResponseReturnValue:
    """Sign somebody in who knows the password."""
    user = check_password(request.form["name"], request.form["password"], _method())
    if user is None:
        return render_template("sign_in.html", errors={"password": "Name and password do not match."}), 422
    return _sign_in(user)


@auth.post("/sign-out")
def sign_out_form() -> ResponseReturnValue:
    """Forget who it was."""
    session.clear()
    flash("You are signed out.")
    return redirect(url_for("auth.sign_in_page"), 303)


def _sign_in(user: User) -> Response:
    session.clear()  # a session that somebody planted before is not the one that is signed in
    session["user_id"] = user.id
    return redirect(url_for("views.list_notes"), 303)


def _method() -> str:
    method: str = current_app.config["PASSWORD_METHOD"]
    return method
