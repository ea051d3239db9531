"""Requests that end before their answer goes out: their code says that none of it runs after the application's call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tlctx._core.implementation import nearest_open
from tlctx._core.propagation import namespace_of

if TYPE_CHECKING:
    from tlctx._core.context import RequestContext
    from tlctx._core.scope import Scope

__all__ = ["close_early"]


def close_early(context: RequestContext) -> Scope:
    """Have the current request of `context` end when the application's call returns, before the first byte goes out.

    Code of the request, or of its framework, calls this to say that the body runs no code that uses the context. The
    middleware then returns the body to the server as it is, and what the teardown raises is the server's 500. Without
    this, the end of any body but a list is its `close()`, after the last byte. Returns the request's scope.

    Raises OutsideRequestError where no request runs.
    """
    scope: Scope | None = vars(context).scope  # type: ignore[attr-defined]
    if scope is None or scope.ended:
        scope = namespace_of(context).check("closing early").scope
    if scope._displaced is not None:  # type: ignore[union-attr]
        scope = _request_around(scope)  # type: ignore[arg-type]
    scope.closes_early = True  # type: ignore[union-attr]
    return scope  # type: ignore[return-value]


def _request_around(scope: Scope) -> Scope:
    """The scope of the request inside of which this one was entered by hand, or itself."""
    while (outer := nearest_open(scope._displaced)) is not None and outer.scope is not None:
        scope = outer.scope
    return scope
