"""Commands for the shell: `flask --app examples/notebook add-user ada`.

Flask runs a command inside `app.app_context()`, and TLCtx opens a scope for that, so `ctx` works here as in a view.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import click
from flask import current_app
from flask.cli import with_appcontext

from notebook.accounts import sign_up
from notebook.context import ctx
from notebook.notes import create_note
from notebook.validation import InvalidInput

if TYPE_CHECKING:
    from flask import Flask

    from notebook.models import User

__all__ = ["init_app"]

DEMO_NOTES = (
    ("Reading list", "The Soul of a New Machine\nThe Mythical Man-Month\nA Pattern Language"),
    (
        "Sourdough",
        "500 g flour, 350 g water, 100 g starter, 10 g salt.\nFold every half hour, four times. Rest overnight.",
    ),
    ("Questions for Thursday", "- Who owns the release notes?\n- When do we drop the old importer?"),
    (
        "Tomato varieties",
        "Black Krim: cracks after rain.\nSan Marzano: for sauce.\nSungold: gone before they reach the kitchen.",
    ),
    ("Bike", "Chain at 0.75 on the gauge: replace before spring.\nTyres 32 mm, 4 bar."),
)


def init_app(app: Flask) -> None:
    """Give the application its commands."""
    app.cli.add_command(add_user)
    app.cli.add_command(seed_demo)


@click.command()
@with_appcontext
@click.argument("name")
@click.password_option()
def add_user(name: str, password: str) -> None:
    """Open an account."""
    click.echo(f"{_open_account(name, password).name} can sign in now.")


@click.command()
@with_appcontext
@click.option("--name", default="demo", show_default=True, help="Who the notes belong to.")
def seed_demo(name: str) -> None:
    """Open an account with some notes in it."""
    password = secrets.token_urlsafe(9)
    ctx.user = _open_account(name, password)
    for title, body in DEMO_NOTES:
        create_note(title, body)
    click.echo(f"Sign in as {ctx.user.name} with the password {password} to find {ctx.note_count} notes.")


def _open_account(name: str, password: str) -> User:
    try:
        return sign_up(name, password, current_app.config["PASSWORD_METHOD"])
    except InvalidInput as invalid:
        raise click.ClickException(" ".join(invalid.errors.values())) from None
