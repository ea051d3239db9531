"""The pattern by which a framework has found the view of a request, "/notes/<id>": there are few, where paths are many.

Each framework keeps it elsewhere. Flask and Django let go of it before the request's scope ends, so `tlctx.flask` and
`tlctx.django` note it in the environ while there are observers. Django's request is reached from its environ by a weak
reference, which `tlctx.django` puts there. This module imports no framework.
"""

from __future__ import annotations

from typing import Any

from tlctx._core.observers import active as observers

__all__ = ["DJANGO", "ROUTE", "observers", "route_of"]

ROUTE = "tlctx.route"
"""The key under which an environ has the pattern, once it was noted."""
DJANGO = "tlctx.django.request"
"""The key under which an environ has a weak reference to Django's request."""
_DEEPEST = 10
"""Applications that are mounted in one another, at most."""


def route_of(source: object) -> str | None:
    """The pattern of the view that serves the request of `source`, a WSGI environ or an ASGI scope.

    None before one was found, where none matches, and where it is not in reach. Never raises.
    """
    if not isinstance(source, dict):
        return None
    try:
        route = _find(source)
    except Exception:  # noqa: BLE001  # a request's class is often the application's own
        return None
    return route if isinstance(route, str) else None


def _find(source: dict[str, Any]) -> Any:
    if ROUTE in source:
        return source[ROUTE]
    rule = getattr(source.get("werkzeug.request"), "url_rule", None)
    if rule is not None:
        return rule.rule
    if DJANGO in source:
        return source[DJANGO]().resolver_match.route
    if (route := source.get("route")) is not None:
        return _starlette_path(source, route)
    return None


def _starlette_path(scope: dict[str, Any], route: Any) -> Any:
    """The whole pattern of a route of Starlette or FastAPI, whose own lacks those of what it is mounted in."""
    included = scope.get("fastapi", {}).get("effective_route_context")
    if included is not None and included.original_route is route:
        return included.path
    if scope.get("root_path", "") != scope.get("app_root_path", scope.get("root_path", "")):
        mounted = _mounted_path(scope["router"], route, _DEEPEST)
        if mounted is not None:
            return mounted
    return route.path


def _mounted_path(router: Any, route: Any, depth: int) -> str | None:
    for other in getattr(router, "routes", None) or () if depth else ():
        path = getattr(other, "path", "")  # a Host has none
        below = "" if other is route else _mounted_path(other, route, depth - 1)
        if below is not None:
            return f"{path}{below}"
    return None
