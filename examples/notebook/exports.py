"""All notes in a file that is made in the background: the request starts it and does not wait for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, select, update

from notebook.accounts import find_user
from notebook.context import ctx, current_user
from notebook.database import sessions
from notebook.export import csv_lines
from notebook.models import Export

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["find_export", "make_export", "start_export"]


def find_export() -> Export | None:
    """The user's export: the last one that they asked for."""
    own = select(Export).where(Export.owner_id == current_user().id)
    return ctx.db.scalar(own.order_by(Export.id.desc()).limit(1))


def start_export(run_later: Callable[[int], object]) -> None:
    """Begin a new export, in the place of the last one. `run_later` has to see to it that `make_export` runs."""
    ctx.db.execute(delete(Export).where(Export.owner_id == current_user().id))
    export = Export(owner_id=current_user().id)
    ctx.db.add(export)
    ctx.db.commit()  # before the job begins, which may be at once and on another machine
    try:
        run_later(export.id)
    except Exception:
        _note_failure(export.id)
        raise


def make_export(export_id: int) -> None:
    """The job. It runs in a scope of its own, to which the id of the user came along."""
    ctx.user = find_user(ctx.user_id)  # in the job's own session
    try:
        content = "".join(csv_lines())
        # If it was replaced meanwhile, there is no such row any more.
        ctx.db.execute(update(Export).where(Export.id == export_id).values(state="ready", content=content))
        ctx.db.commit()
    except Exception:
        ctx.db.rollback()
        _note_failure(export_id)
        raise


def _note_failure(export_id: int) -> None:
    with sessions.begin() as session:  # one of its own: that of the scope may be what is broken
        session.execute(update(Export).where(Export.id == export_id).values(state="failed"))
