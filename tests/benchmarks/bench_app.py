"""The apps that the servers of the benchmark serve: `make(name, path of a file)`."""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.rivals import load

import tlctx

if TYPE_CHECKING:
    from collections.abc import Callable


class Ctx(tlctx.RequestContext):
    """One declared field."""

    user: str = "stranger"


ctx = Ctx()


def bare(path: str) -> Any:
    """Answers with one line; under /file with the file."""
    size = str(Path(path).stat().st_size)

    def app(environ: Any, start_response: Any) -> Any:
        if environ["PATH_INFO"] == "/file":
            start_response("200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", size)])
            return environ["wsgi.file_wrapper"](Path(path).open("rb"))
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "13")])
        return [b"Hello, World!"]

    return app


def managed(path: str) -> Any:
    werkzeug = load("werkzeug.local")
    return werkzeug.LocalManager([werkzeug.Local()]).make_middleware(bare(path))


def flask_app() -> Any:
    app = load("flask").Flask("bench_app")
    app.add_url_rule("/", view_func=lambda: "Hello, World!")
    return app


def flask_with_context() -> Any:
    app = flask_app()
    load("tlctx.flask").TLCtx(app, ctx)
    return app


def greeting_app(before: Callable[[], None], view: Callable[[], str]) -> Any:
    """A Flask app whose requests run both functions."""
    app = load("flask").Flask("bench_app")
    app.before_request(before)
    app.add_url_rule("/", "greeting", view)
    return app


def greeting_nobody() -> Any:
    return greeting_app(lambda: None, lambda: "Hello, ann!")


def greeting_with_g() -> Any:
    g = load("flask").g

    def sign_in() -> None:
        g.user = "ann"

    return greeting_app(sign_in, lambda: f"Hello, {g.user}!")


def greeting_with_context() -> Any:
    def sign_in() -> None:
        ctx.user = "ann"

    app = greeting_app(sign_in, lambda: f"Hello, {ctx.user}!")
    load("tlctx.flask").TLCtx(app, ctx)
    return app


GREETINGS: dict[str, Callable[[], Any]] = {
    "bare": greeting_nobody,
    "bare again": greeting_nobody,
    "flask.g": greeting_with_g,
    "TLCtx": greeting_with_context,
}
"""The same request of Flask; `bare` has a `before_request` function that does nothing."""


def greeting_with_the_view() -> Any:
    """Nobody looks at it."""
    app = greeting_with_context()
    inspector = load("tlctx.inspector").Inspector(ctx, "a-token-that-nobody-sends")
    app.wsgi_app = inspector.mount(app.wsgi_app, "/requests")
    return app


VIEWED: dict[str, Callable[[], Any]] = {
    "without": greeting_with_context,
    "without again": greeting_with_context,
    "with the view": greeting_with_the_view,
}
"""The same request of Flask with TLCtx, which the live view observes, or does not."""


def metered(app: Any) -> Any:
    """The app; under /used the CPU seconds of this process, and how many requests it has served."""
    served = itertools.count()

    def meter(environ: Any, start_response: Any) -> Any:
        number = next(served)
        if environ["PATH_INFO"] != "/used":
            return app(environ, start_response)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [f"{time.process_time()} {number}".encode()]

    return meter


APPS: dict[str, Callable[[str], Any]] = {
    "bare": bare,
    "tlctx": lambda path: tlctx.ContextMiddleware(bare(path), ctx),
    "LocalManager": managed,
    "Flask": lambda path: flask_app(),
    "Flask with TLCtx": lambda path: flask_with_context(),
}


def make(name: str, path: str) -> Any:
    return APPS[name](path)


def make_metered(name: str) -> Any:
    return metered((GREETINGS | VIEWED)[name]())
