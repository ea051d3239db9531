"""What a scope's source, a WSGI environ or an ASGI scope, says of the request."""

from __future__ import annotations

import contextlib
from typing import Any

from tlctx.inspector._texts import LONGEST, shown, trace_of

__all__ = ["Words", "method_of", "path_of", "route_name", "trace_id", "words_of"]

Words = tuple[Any, Any, Any]
"""Method, the path that the application is mounted under, and the path below it, as the server gave them."""

_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "websocket"}


def words_of(source: Any) -> Words | None:
    """What names the request; None where the source is no HTTP request."""
    if type(source) is not dict:
        return None
    if "REQUEST_METHOD" in source:
        return source["REQUEST_METHOD"], source.get("SCRIPT_NAME"), source.get("PATH_INFO")
    kind = source.get("type")
    if kind not in ("http", "websocket"):
        return None
    root, path = source.get("root_path") or "", source.get("path") or ""
    # Of an application that is mounted, some frameworks have the rest of the path in the scope, others all of it.
    return source.get("method") if kind == "http" else kind, "" if path.startswith(root) else root, path


def method_of(words: Words | None) -> str | None:
    """The method, as it may be shown."""
    return None if words is None else shown(str(words[0]), 40)


def path_of(words: Words | None) -> str | None:
    """The path, as it may be shown. WSGI has the bytes of UTF-8 as characters of Latin-1."""
    if words is None:
        return None
    path = f"{words[1] or ''}{words[2] or ''}"[:LONGEST]
    if not path.isascii():
        with contextlib.suppress(UnicodeEncodeError):  # ASGI's is decoded
            path = path.encode("latin-1").decode("utf-8", "replace")
    return shown(path)


def trace_id(source: Any) -> str | None:
    """The id of the trace that the request is part of, by its header `traceparent`."""
    if type(source) is not dict:
        return None
    if "HTTP_TRACEPARENT" in source:
        return trace_of(source["HTTP_TRACEPARENT"])
    headers = source.get("headers", ()) if "type" in source else ()
    return next((trace_of(value.decode("latin-1")) for name, value in headers if name == b"traceparent"), None)


def route_name(method: Any, route: str | None) -> str:
    """The name under which durations are added up: few, whatever clients send."""
    if method is None:
        return "other work"
    method = method if method in _METHODS else "other methods"
    return method if route is None else f"{method} {shown(route, 200)}"
