"""What an error adds where a framework runs whose integration was forgotten. It imports none."""

from __future__ import annotations

import sys
from typing import Any

from tlctx._core.errors import explanations

__all__ = ["explain_celery", "explain_flask"]


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
        f"it is not installed on {task.app!r}, whose task {task.name} runs here. Where the application is made, call "
        "`install(app, ctx, fields=[...])`, of tlctx.celery, with the very context that is used here."
    )


explanations += [explain_celery, explain_flask]
