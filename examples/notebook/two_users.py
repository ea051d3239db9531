"""The page "Two users at once": what a module global does under load, and what the context does."""

from __future__ import annotations

import inspect
import os
import random
import threading
import time
from typing import TYPE_CHECKING, Any

from flask import Blueprint, redirect, render_template, request, url_for

from notebook.board import board
from notebook.context import ctx
from notebook.race import AT_ONCE, EACH, USERS, VARIANTS, find_race, is_running, start_race

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

__all__ = ["two_users"]

two_users = Blueprint("two_users", __name__, url_prefix="/two-users")

the_user: str | None = None


def in_global(name: str) -> str | None:
    global the_user  # noqa: PLW0603 (the mistake that the page is about)
    the_user = name
    query_database()
    return the_user


def in_context(name: str) -> str | None:
    ctx.user_name = name
    query_database()
    return ctx.user_name


def query_database() -> None:
    """Wait, as a request does for its data."""
    time.sleep(random.uniform(0.02, 0.08))


@two_users.get("/")
def show() -> str:
    """The page."""
    return render_template("two_users.html", **_boards(), code=CODE, each=EACH * len(USERS), at_once=AT_ONCE)


@two_users.get("/boards")
def show_boards() -> str:
    """What of it changes while the load runs."""
    return render_template("boards.html", **_boards())


@two_users.post("/")
def start() -> ResponseReturnValue:
    """Begin the load, unless one runs."""
    start_race(_own_address(), lambda variant, user: url_for(f"two_users.answer_from_{variant}", name=user))
    return redirect(url_for(".show"), 303)


@two_users.get("/global/<any(ann, ben):name>")
def answer_from_global(name: str) -> dict[str, Any]:
    """What a request gets that keeps its user in a module global."""
    return _timed(in_global, name)


@two_users.get("/context/<any(ann, ben):name>")
def answer_from_context(name: str) -> dict[str, Any]:
    """What a request gets that keeps its user in the context."""
    return _timed(in_context, name)


def _timed(view: Any, name: str) -> dict[str, Any]:
    began = time.monotonic()
    got = view(name)
    times = {"began": began, "ended": time.monotonic()}
    return {"got": got, "process": os.getpid(), "thread": threading.current_thread().name, **times}


def _boards() -> dict[str, Any]:
    race, answers = find_race()
    return {"boards": [board(variant, answers) for variant in VARIANTS], "running": is_running(race)}


def _own_address() -> tuple[str, int]:
    """Where this server listens, which no client has a say in, as it has in `request.host`."""
    host, port = request.environ["SERVER_NAME"], int(request.environ["SERVER_PORT"])
    return ("127.0.0.1" if host in ("0.0.0.0", "::") else host), port


def _shown(function: Any) -> str:
    lines = inspect.getsource(function).splitlines()
    return "\n".join(line.partition("  #")[0] for line in lines).replace(": str) -> str | None", ")")


CODE = {"global": _shown(in_global), "context": _shown(in_context)}
"""What the page shows: the very code that answers."""
