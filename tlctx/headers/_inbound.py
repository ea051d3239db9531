"""What came with a request: kept in its environ or ASGI scope, and assigned in the scope of its context.

The middleware may be mounted inside the one that opens the context's scope, or outside of it. Inside, it assigns the
values itself. Outside, there is no scope yet: an observer assigns them as the scope of this very request begins, before
`initialize`, which can read them. The scope's source says which request it is.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from tlctx import RequestContext, Scope
from tlctx.lowlevel import Observer, add_observer

if TYPE_CHECKING:
    from collections.abc import MutableMapping

__all__ = ["REQUEST_ID", "deliver", "request_id_in"]

REQUEST_ID = "tlctx.request_id"
"""The key of the request id, a text: gunicorn's access log prints it as `%({tlctx.request_id}e)s`."""
_KEY = "tlctx.headers"
_SCOPES = "tlctx.scopes"

Source = dict[str, Any]


class _Inbound:
    """Values to assign in the scope of a context. Its text shows none of them: an access log may print any key."""

    __slots__ = ("context", "values")

    def __init__(self, context: RequestContext, values: dict[str, str]) -> None:
        self.context = context
        self.values = values


class _Assigner(Observer):
    """Gives a scope that begins inside of our middleware the values that came with its request."""

    def begin(self, scope: Scope) -> None:
        source = scope.source
        if isinstance(source, dict):
            for inbound in source.get(_KEY, ()):
                if inbound.context is scope.context:
                    scope.namespace.update(inbound.values)


_lock = threading.Lock()
_assigners: list[_Assigner] = []


def request_id_in(source: MutableMapping[str, Any]) -> str | None:
    """The id that another of our middlewares has given this request, or None."""
    return source[REQUEST_ID] if _KEY in source else None


def deliver(source: MutableMapping[str, Any], context: RequestContext, values: dict[str, str], request_id: str) -> None:
    """Note the request id, and assign the values: now, or when the scope of the request begins."""
    source[REQUEST_ID] = request_id
    source[_KEY] = (*source.get(_KEY, ()), _Inbound(context, values))
    current = Scope.current(context)
    if current is not None and current in source.get(_SCOPES, ()):
        current.update(values)
    elif not _assigners:
        _start_assigning()


def _start_assigning() -> None:
    """Add the observer, once: who mounts the middleware inside pays nothing for it."""
    with _lock:
        if not _assigners:
            _assigners.append(_Assigner())
            add_observer(_assigners[0])
