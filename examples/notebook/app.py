"""The application factory."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, request

import notebook.stamping  # noqa: F401 (from here on it listens)
from notebook import commands, csrf, database, errors, jobs
from notebook.api import api
from notebook.auth import auth
from notebook.config import INSTANCE, inspector_token, kept_secret, settings
from notebook.context import ctx
from notebook.two_users import two_users
from notebook.views import views
from tlctx.flask import TLCtx
from tlctx.headers import Headers
from tlctx.inspector import Inspector

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["create_app"]

log = logging.getLogger("notebook")

LIVE_VIEW = "/requests"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
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
    app.wsgi_app = Headers(ctx, echo=True).wsgi(app.wsgi_app)  # type: ignore[method-assign]
    _mount_inspector(app)

    for part in (csrf, errors, commands, jobs):
        part.init_app(app)
    for blueprint in (auth, views, api, two_users):
        app.register_blueprint(blueprint)
    app.after_request(_harden)
    app.after_request(_log)
    return app


def _mount_inspector(app: Flask) -> None:
    """Show what is served right now, under /requests/, to whoever has the token."""
    token = str(app.config["INSPECTOR_TOKEN"] or inspector_token())
    app.extensions["notebook.inspector"] = inspector = Inspector(ctx, token, show=["user_name"])
    app.wsgi_app = inspector.mount(app.wsgi_app, LIVE_VIEW)  # type: ignore[assignment,method-assign]
    app.jinja_env.globals["live_view"] = f"{LIVE_VIEW}/"


def _log(response: Response) -> Response:
    if request.endpoint != "static":
        log.info("%s %s %d", request.method, request.path, response.status_code)
    return response


def _harden(response: Response) -> Response:
    response.headers.update(HEADERS)
    if request.endpoint != "static":
        response.cache_control.no_store = True  # the next person at this computer finds nothing in its cache
    return response
