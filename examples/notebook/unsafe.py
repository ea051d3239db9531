"""The same notebook with the user in a module global, as a warning: `load.py --unsafe` runs it.

This is the only difference. Each request sets the global when it begins, as it sets `ctx.user` otherwise. But a worker
serves eight requests at a time, so while one waits for the database, the next one sets it too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from notebook.app import create_app
from notebook.context import Ctx

if TYPE_CHECKING:
    from notebook.models import User

__all__ = ["create_app"]

the_user: User | None = None


def get_user(_ctx: Ctx) -> User | None:
    """What `ctx.user` reads."""
    return the_user


def set_user(_ctx: Ctx, user: User | None) -> None:
    """What `ctx.user = user` does."""
    global the_user  # noqa: PLW0603 (the mistake that this file is about)
    the_user = user


Ctx.user = property(get_user, set_user)  # type: ignore[assignment]
