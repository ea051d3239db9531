"""What `sqlalchemy.orm.scoped_session` takes to have one session a request. It needs no SQLAlchemy itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from tlctx import RequestContext, Scope
from tlctx.lowlevel import check_context

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["request_token"]


def request_token(context: RequestContext) -> Callable[[], int]:
    """A `scopefunc` for `scoped_session`: it returns a number that the current request alone has, and no later one.

        Session = scoped_session(sessionmaker(engine), scopefunc=request_token(ctx))

    The session has to be removed when the request ends: `ctx.callback(Session.remove)`. A job of `tlctx.threads` is a
    scope of its own, so it has a session of its own.

    Raises TypeError for what is no context. The function raises OutsideRequestError where no request runs, and
    RequestEndedError in code that its request has left behind.
    """
    check_context(context)

    def token() -> int:
        scope = Scope.current(context)
        if scope is None:
            RequestContext.get(context, "session token")  # raises
        return cast("Scope", scope).serial

    return token
