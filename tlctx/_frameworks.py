"""What an error adds where a framework runs whose integration was forgotten. It imports none."""

from __future__ import annotations

import sys
from typing import Any

from tlctx._core.errors import explanations
from tlctx._core.places import callers

__all__ = ["explain_flask", "explain_server"]

_ASGI = {"scope", "receive", "send"}


def explain_flask(context: Any) -> str | None:
    """Why `context` has no request although a Flask application runs here: it was not installed on that one."""
    flask = sys.modules.get("flask")
    has_app_context = getattr(flask, "has_app_context", None)  # missing while another thread imports it
    if flask is None or has_app_context is None or not has_app_context():
        return None
    installed = [extension.ctx for extension in flask.current_app.extensions.get("tlctx", ())]
    if any(other is context for other in installed):
        return None
    others = ", ".join(sorted({type(other).__name__ for other in installed}))
    others = f" with {others}" if others else ""
    return (
        f"it is not installed on {flask.current_app!r}, which runs here{others}. Where the "
        "application is made, call `TLCtx(app, ctx)`, of tlctx.flask, with the very context that is used here."
    )


def explain_server(context: Any) -> str | None:
    """Why `context` has no request although a WSGI or ASGI application, or Django's async view, runs here."""
    for frame in callers():
        code = frame.f_code
        arguments = code.co_varnames[: code.co_argcount]
        if "start_response" in arguments:
            return (
                "a WSGI application runs here, and no ContextMiddleware with this context is around it. Serve "
                "`ContextMiddleware(app, ctx)` in its place, and use the context only inside."
            )
        if _ASGI.issubset(arguments):
            return (
                "an ASGI application runs here, and no ContextMiddleware of tlctx.asgi with this context is around "
                "it. Serve `tlctx.asgi.ContextMiddleware(app, ctx)` in its place, and use the context only inside."
            )
        if code.co_name == "main_wrap" and _is_of_django(frame.f_globals):
            return (
                "Django runs an async view, and what `async_to_sync` calls, on an event loop apart from the request. Put "
                '"tlctx.django.AsyncViewMiddleware" first into MIDDLEWARE, and ContextMiddleware around the WSGI '
                "application; under ASGI, `tlctx.asgi.ContextMiddleware` around the application is all it takes."
            )
    return None


def _is_of_django(names: dict[str, Any]) -> bool:
    return names.get("__name__") == "asgiref.sync" and "django.core.handlers.base" in sys.modules


explanations.extend((explain_flask, explain_server))
