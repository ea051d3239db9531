"""What a user would pick instead of tlctx: how to get each, and the distribution that it comes with."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

OF_PYTHON = ""
READ, WRITE, DELETE = "read an attribute", "write an attribute", "write and delete an attribute"
STATEMENTS = {READ: "o.x", WRITE: "o.x = 1", DELETE: "o.x = 1; del o.x"}


@dataclass(frozen=True)
class Rival:
    """An object that attributes are read of and written to."""

    name: str
    make: Callable[[], Any]
    distribution: str = OF_PYTHON
    statements: Mapping[str, str] = field(default_factory=lambda: STATEMENTS)


class Plain:
    """An object as any other."""


def load(module: str) -> Any:
    """A module, imported where it is measured and nowhere else; a rival that is not installed raises ImportError."""
    return importlib.import_module(module)


def proxy() -> Any:
    """What werkzeug's own documentation shows: a name for whatever object the thread has in the local."""
    shared = load("werkzeug.local").Local()
    shared.current = Plain()
    return shared("current")


def flask_g() -> Any:
    """Flask's, in an app context that stays pushed until the process ends."""
    flask = load("flask")
    flask.Flask("benchmark").app_context().push()
    return flask.g


VARIABLE = {READ: "o.get()", WRITE: "o.set(1)", DELETE: "o.reset(o.set(1))"}
THREAD_LOCAL = Rival("threading.local, in C", lambda: load("threading").local())
PYTHON_LOCAL = Rival("_threading_local", lambda: load("_threading_local").local())
CONTEXT_VAR = Rival("ContextVar", lambda: load("contextvars").ContextVar("x", default=1), OF_PYTHON, VARIABLE)
WERKZEUG_LOCAL = Rival("werkzeug Local", lambda: load("werkzeug.local").Local(), "werkzeug")
FLASK_G = Rival("flask.g", flask_g, "flask")
ASGIREF_LOCAL = Rival("asgiref Local", lambda: load("asgiref.local").Local(), "asgiref")
RIVALS = [
    THREAD_LOCAL,
    PYTHON_LOCAL,
    CONTEXT_VAR,
    WERKZEUG_LOCAL,
    Rival("werkzeug LocalProxy", proxy, "werkzeug"),
    FLASK_G,
    ASGIREF_LOCAL,
    Rival("gevent local", lambda: load("gevent.local").local(), "gevent"),
    Rival("attribute of a plain object", Plain),
]
DISTRIBUTIONS = [
    "werkzeug", "flask", "asgiref", "gevent", "gunicorn", "opentelemetry-instrumentation-wsgi", "sentry-sdk",
    "starlette-context", "asgi-correlation-id",
]  # fmt: skip
"""Whose versions are part of a result."""
