"""What a scope's source, a WSGI environ or an ASGI scope, says of the request."""

from __future__ import annotations

from typing import Any

from tlctx.inspector._texts import LONGEST, shown, trace_of

__all__ = ["method_and_path", "route_name", "trace_id"]

_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "WebSocket"}


def method_and_path(source: Any) -> tuple[str | None, str | None]:
    """Method and whole path; None for both where the source is no HTTP request."""
    if not isinstance(source, dict):
        return None, None
    if "REQUEST_METHOD" in source:
        return source["REQUEST_METHOD"], f"{source.get('SCRIPT_NAME', '')}{source.get('PATH_INFO', '')}"
    if source.get("type") in ("http", "websocket"):
        root, path = source.get("root_path", ""), source.get("path", "")
        method = source.get("method", "") if source["type"] == "http" else "WebSocket"
        return method, path if path.startswith(root) else f"{root}{path}"
    return None, None


def readable(source_path: str) -> str:
    """A path for people: WSGI has the bytes of UTF-8 as characters of Latin-1."""
    path = source_path[:LONGEST]
    if not path.isascii():
        try:
            path = path.encode("latin-1").decode("utf-8", "replace")
        except UnicodeEncodeError:  # it is ASGI's, which is decoded
            pass
    return shown(path)


def trace_id(source: Any) -> str | None:
    """The id of the trace that the request is part of, by its header `traceparent`."""
    if not isinstance(source, dict):
        return None
    if "HTTP_TRACEPARENT" in source:
        return trace_of(source["HTTP_TRACEPARENT"])
    headers = source.get("headers", ()) if "type" in source else ()
    return next((trace_of(value.decode("latin-1")) for name, value in headers if name == b"traceparent"), None)


def route_name(method: str | None, route: str | None) -> str:
    """The name under which durations are added up: few, whatever clients send."""
    if method is None:
        return "other work"
    method = method if method in _METHODS else "other methods"
    return method if route is None else f"{method} {shown(route, 200)}"
