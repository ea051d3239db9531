"""Requests that end before their answer goes out: their code says that none of it runs after the application's call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tlctx._core.implementation import nearest_open
from tlctx._core.propagation import namespace_of

if TYPE_CHECKING:
    from tlctx._core.context import RequestContext
    from tlctx._core.scope import Scope

__all__ = ["close_early"]


def close_early(context: RequestContext) -> None:
    """Have the current request of `context` end when the application's call returns, before the first byte goes out.

    Code of the request, or of its framework, calls this to say that the body runs no code that uses the context. The
    middleware then returns the body to the server as it is, and what the teardown raises is the server's 500. Without
    this, the end of any body but a list is its `close()`, after the last byte.

    Raises OutsideRequestError where no request runs.
    """
    scope: Scope | None = namespace_of(context).check("closing early").scope
    while scope is not None:
        request = scope
        outer = nearest_open(scope._displaced)  # of one that was entered by hand, inside the request's
        scope = None if outer is None else outer.scope
    request.closes_early = True
