"""The context: what code anywhere in a request may need. `from notebook.context import ctx` is all it takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, select

from notebook.database import sessions
from notebook.models import Note
from tlctx import RequestContext, per_request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.orm import Session

    from notebook.models import User

__all__ = ["Ctx", "SignInRequired", "ctx", "current_user"]


class SignInRequired(Exception):  # noqa: N818 (it is no error: the answer to it is the sign-in page)
    """Somebody who is not signed in asked for what only a user can have."""


class Ctx(RequestContext):
    """One of these serves every request, and shows each of them its own values only."""

    user_id: int | None = None
    """What of the user goes along with a job to another process."""

    user: User | None = None
    """Who asks; None until `auth` has looked, and for a visitor."""

    user_name: str | None = None
    """What log lines say of the user."""

    request_id: str = "-"

    @per_request
    def db(self) -> Iterator[Session]:
        """The request's database session, opened on first use.

        Code that writes also commits, before the answer goes out. When the request ends, however it ends, the session
        is closed, which rolls back what nobody committed.
        """
        with sessions() as session:
            yield session

    @per_request
    def note_count(self) -> int:
        """How many notes the user has; counted once a request, and not at all if no page asks."""
        return self.db.scalar(select(func.count()).where(Note.owner_id == current_user().id)) or 0


ctx = Ctx()


def current_user() -> User:
    """The user who asks. Raises SignInRequired for a visitor."""
    user = ctx.user
    if user is None:
        raise SignInRequired
    return user
