"""Who changed a row: an event deep inside SQLAlchemy that asks the context, as nobody could hand it the request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import event

from notebook.context import ctx
from notebook.database import sessions
from notebook.models import Stamped, now

if TYPE_CHECKING:
    from sqlalchemy.orm import Session, UOWTransaction

__all__ = ["stamp"]


@event.listens_for(sessions, "before_flush")
def stamp(session: Session, _flush: UOWTransaction, _instances: object) -> None:
    """Write the user of this request, and the time, into each row that is about to change."""
    user = getattr(ctx, "user", None)  # None where no request runs either: in a script, say
    for row in (*session.new, *session.dirty):
        if isinstance(row, Stamped) and session.is_modified(row):
            row.changed_by_id = None if user is None else user.id
            row.changed_at = now()
