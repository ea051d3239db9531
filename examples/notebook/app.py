"""The application factory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Flask, Response, request

import notebook.stamping  # noqa: F401 (from here on it listens)
from notebook import commands, csrf, database, errors, jobs
from notebook.api import api
from notebook.auth import auth
from notebook.config import INSTANCE, kept_secret, settings
from notebook.context import ctx
from notebook.views import views
from tlctx.flask import TLCtx

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["create_app"]

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    """The notebook as a WSGI application, with its database ready."""
    app = Flask(__name__, instance_path=str(INSTANCE))
    app.config.from_mapping(settings())
    app.config.from_prefixed_env("NOTEBOOK")
    app.config.from_mapping(config or {})
    app.config["SECRET_KEY"] = app.config["SECRET_KEY"] or kept_secret(INSTANCE / "secret_key")

    app.extensions["notebook.engine"] = database.connect(app.config["DATABASE_URL"])
    TLCtx(app, ctx)

    for part in (csrf, errors, commands, jobs):
        part.init_app(app)
    for blueprint in (auth, views, api):
        app.register_blueprint(blueprint)
    app.after_request(_harden)
    return app


def _harden(response: Response) -> Response:
    response.headers.update(HEADERS)
    if request.endpoint != "static":
        response.cache_control.no_store = True  # the next person at this computer finds nothing in its cache
    return response
