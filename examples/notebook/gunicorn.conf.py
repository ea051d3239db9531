"""Two workers of eight threads: `gunicorn -c examples/notebook/gunicorn.conf.py`, from any directory."""

# ruff: noqa: N999 (gunicorn gives this file its name)

import os
from pathlib import Path
from typing import Any

import tlctx.gunicorn
from tlctx.gunicorn import worker_abort, worker_exit  # noqa: F401 (gunicorn calls them)

wsgi_app = "notebook:create_app()"
pythonpath = str(Path(__file__).resolve().parent.parent)
bind = os.environ.get("NOTEBOOK_BIND", "127.0.0.1:8000")
workers = 2
threads = 8
worker_class = "gthread"
keepalive = 5
control_socket_disable = True  # a user has one for all their servers, and a second server would take the first one's

# Each log line, of every logger, has the id and the user of its request.
logconfig_dict = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {
        "request": {
            "()": "tlctx.logs.ContextFilter",
            "ctx": "ext://notebook.context.ctx",
            "fields": {"user_name": "user"},
        },
    },
    "formatters": {
        "line": {"format": "%(asctime)s %(levelname)s [%(process)d %(request_id)s %(user)s] %(name)s: %(message)s"},
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "filters": ["request"], "formatter": "line"}},
    "root": {"level": os.environ.get("NOTEBOOK_LOG_LEVEL", "INFO"), "handlers": ["console"]},
    "loggers": {"gunicorn.error": {"level": "INFO", "handlers": [], "propagate": True}},
}


def when_ready(server: Any) -> None:
    """Say where the live view is, and how to get in."""
    from notebook.config import inspector_token

    token = os.environ.get("NOTEBOOK_INSPECTOR_TOKEN")
    known = "that of NOTEBOOK_INSPECTOR_TOKEN" if token else inspector_token()
    server.log.info("The live view is under /requests/. Any name will do; the password is %s", known)


def post_worker_init(worker: Any) -> None:
    """Log requests that hang, and have the live view show each worker at once, not just from its first request on."""
    tlctx.gunicorn.post_worker_init(worker)
    worker.wsgi.extensions["notebook.inspector"].start()
