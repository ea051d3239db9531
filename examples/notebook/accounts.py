"""Accounts: signing up, and checking a password."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from werkzeug.security import check_password_hash, generate_password_hash

from notebook.context import ctx
from notebook.models import User
from notebook.validation import InvalidInput, clean

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["check_password", "find_user", "sign_up"]

SHORTEST_PASSWORD = 8
LONGEST_PASSWORD = 200


def sign_up(name: str, password: str, method: str) -> User:
    """Open an account; `method` is how werkzeug hashes the password. Raises InvalidInput."""
    name = _canonical(name)
    errors = dict(_problems(name, password))
    if errors:
        raise InvalidInput(errors)
    user = User(name=name, password_hash=generate_password_hash(password, method))
    ctx.db.add(user)
    try:
        ctx.db.commit()
    except IntegrityError:
        ctx.db.rollback()
        raise InvalidInput({"name": "This name is taken. Choose another."}) from None
    return user


def check_password(name: str, password: str, method: str) -> User | None:
    """The user of that name, if the password is theirs."""
    user = ctx.db.scalar(select(User).where(User.name == _canonical(name)))
    known = _hash_of_nobody(method) if user is None else user.password_hash
    return user if check_password_hash(known, password) else None


def find_user(user_id: int | None) -> User | None:
    """The user with that id."""
    return None if user_id is None else ctx.db.get(User, user_id)


def _canonical(name: str) -> str:
    return clean(name).lower()


def _problems(name: str, password: str) -> Iterator[tuple[str, str]]:
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{1,39}", name):
        yield "name", "Use 2 to 40 letters a to z, digits, dots, dashes or underscores, with a letter or digit first."
    if len(password) < SHORTEST_PASSWORD:
        yield "password", f"Use at least {SHORTEST_PASSWORD} characters."
    if len(password) > LONGEST_PASSWORD:
        yield "password", f"Use at most {LONGEST_PASSWORD} characters."


@cache
def _hash_of_nobody(method: str) -> str:
    # Checked for a name that does not exist, so that the time it takes does not give away which names do.
    return generate_password_hash("", method)
