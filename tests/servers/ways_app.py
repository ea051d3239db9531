"""The Flask application of the program of `ways.py`, for a WSGI server: each request uses its context on all ways."""

from __future__ import annotations

from typing import Any

from flask import Flask
from servers.ways_context import side
from servers.ways_looks import own_work
from servers.ways_tally import tally
from servers.ways_use import stream, use_loop, use_threads

application = Flask(__name__)
side.serve_flask(application)


@application.get("/start_afresh")
def start_afresh() -> Any:
    return "", 204


@application.get("/report")
def report() -> Any:
    return tally.report()


@application.get("/sync/<user>")
def sync_view(user: str) -> Any:
    use_threads("view", user)
    return stream(user, own_work())


@application.get("/async/<user>")
async def async_view(user: str) -> Any:
    await use_loop(user)
    return stream(user, own_work())
