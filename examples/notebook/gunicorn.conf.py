"""Two workers of eight threads: `gunicorn -c examples/notebook/gunicorn.conf.py`, from any directory."""

# ruff: noqa: N999 (gunicorn gives this file its name)

import os
from pathlib import Path

wsgi_app = "notebook:create_app()"
pythonpath = str(Path(__file__).resolve().parent.parent)
bind = os.environ.get("NOTEBOOK_BIND", "127.0.0.1:8000")
workers = 2
threads = 8
worker_class = "gthread"
keepalive = 5
control_socket_disable = True  # a user has one for all their servers, and a second server would take the first one's
