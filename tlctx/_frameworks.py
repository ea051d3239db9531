"""What an error adds where a framework runs whose integration was forgotten. It imports none."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from tlctx._core.errors import explanations

if TYPE_CHECKING:
    from types import FrameType

__all__ = ["explain_celery", "explain_flask", "explain_server"]

_ASGI_ARGUMENTS = {"scope", "receive", "send"}
_WSGI = (
    "a WSGI application runs here, and no ContextMiddleware with this context is around it. Serve "
    "`ContextMiddleware(app, ctx)` in its place, and use the context only inside."
)
_ASGI = (
    "an ASGI application runs here, and no middleware of ASGI with this context is around it. Serve "
    "`tlctx.asgi.ContextMiddleware(app, ctx)` in its place, and use the context only inside."
)
_DJANGO = (
    "Django runs an async view, and what `async_to_sync` calls, on an event loop apart from the request. Put "
    '"tlctx.django.AsyncViewMiddleware" first into MIDDLEWARE, and ContextMiddleware around the WSGI application; '
    "under ASGI, `tlctx.asgi.ContextMiddleware` around the application is all it takes."
)


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
    """Why `context` has no request although an application or Django's async view runs here."""
    serves_django = "django.core.handlers.base" in sys.modules
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if code.co_argcount > 1:  # the names of the variables take longer to get
            names = code.co_varnames
            if "start_response" in names and "start_response" in names[: code.co_argcount]:
                return _WSGI
            if "receive" in names and _ASGI_ARGUMENTS.issubset(names[: code.co_argcount]):
                return _ASGI
            if serves_django and code.co_name == "main_wrap" and frame.f_globals.get("__name__") == "asgiref.sync":
                return _DJANGO
        frame = frame.f_back
    return None


def explain_celery(context: Any) -> str | None:
    """Why `context` has no request although a Celery task runs here: it was not installed, or it is not its turn."""
    find = getattr(sys.modules.get("celery._state"), "get_current_task", None)
    task = find and find()
    if not task:
        return None
    if any(installation.ctx is context for installation in getattr(task.app, "_tlctx", ())):
        return (
            f"the scope of the task {task.name} is open while its own code runs, and not in handlers as before_start "
            "and on_success, in signals, or in the `__call__` of its class. Use the context in the task."
        )
    return (
        f"a Celery task runs here, {task.name}, and the context is not installed on its application, {task.app!r}. "
        "Where that is made, call `tlctx.celery.install(app, ctx, fields=[...])`, with the very context that is used "
        "here."
    )


explanations += [explain_celery, explain_flask, explain_server]
