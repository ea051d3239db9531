"""The app under test, as servers serve it: `routes` inside the middleware, and faults outside of it.

The outer routes do to a body on purpose what servers and other middlewares do by mistake.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

from servers import state
from servers.bodies import KINDS, a_body_that_fails
from servers.routes import applied_twice, served
from servers.routes_flask import FLASK_ROUTES
from servers.state import PATIENCE, event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


class Body:
    """The middleware's body, handed to the server; `close` says how it ends."""

    def __init__(self, body: Iterable[bytes], close: Callable[[Any], None]) -> None:
        self.body = body
        self.end = close

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.body)

    def close(self) -> None:
        body, self.body = self.body, ()
        self.end(body)


def close_twice(body: Any) -> None:
    body.close()
    body.close()


def close_on_another_thread(body: Any) -> None:
    def close() -> None:
        body.close()
        if state.visible():
            event("foreign", "none", "after close() on another thread")

    thread = threading.Thread(target=close)
    thread.start()
    thread.join(PATIENCE)


def close_never(body: Any) -> None:
    state.kept["body"] = body


def close_never_again(body: Any) -> None:
    """Drop a body that has given all that it has."""


def stream_ending_with(close: Callable[[Any], None]) -> Callable[..., Any]:
    def serve(environ: Any, start_response: Any) -> Any:
        environ["PATH_INFO"] = "/stream"
        return Body(served(environ, start_response), close)

    return serve


def twice(environ: Any, start_response: Any) -> Any:
    environ["PATH_INFO"] = "/stream"
    return applied_twice(environ, start_response)


def start_afresh(environ: Any, start_response: Any) -> Any:
    if not state.tlctx_serves:
        state.ctx.start_afresh()
    start_response("204 No Content", [])
    return [b""]  # Hypercorn sends no headers for an empty list


def with_body_events(app: Callable[..., Any]) -> Callable[..., Any]:
    """Give a kind of body the file that it may send, and a function that reports its events."""

    def serve(environ: Any, start_response: Any) -> Any:
        tag = environ["QUERY_STRING"].partition("tag=")[2]
        environ["faults.event"] = lambda name, *words: event(name, tag, *words)
        environ["faults.file"] = str(state.FLAGS / "file")
        return app(environ, start_response)

    return serve


def within(app: Callable[..., Any]) -> Callable[..., Any]:
    """The same inside the middleware, in a scope that has something to tear down."""

    def serve(environ: Any, start_response: Any) -> Any:
        state.ctx.callback(environ["faults.event"], "torn_down")
        return app(environ, start_response)

    return with_body_events(state.Middleware(serve, state.ctx))


BODIES = {**KINDS, "a_body_that_fails": a_body_that_fails}
OUTER_ROUTES: dict[str, Callable[..., Any]] = {
    "close_twice": stream_ending_with(close_twice),
    "close_on_another_thread": stream_ending_with(close_on_another_thread),
    "close_never": stream_ending_with(close_never),
    "never_closed_after_its_last_chunk": stream_ending_with(close_never_again),
    "applied_twice": twice,
    **FLASK_ROUTES,
    "start_afresh": start_afresh,
    **{f"bare/{kind}": with_body_events(app) for kind, app in BODIES.items()},
    **{f"within/{kind}": within(app) for kind, app in BODIES.items()},
}


class FullLog(logging.Handler):
    """An access log that raises for the fault of that name, for a server whose access log is a logger."""

    def emit(self, record: logging.LogRecord) -> None:
        if "access_log_raises" in record.getMessage():
            raise OSError("the log is full")


for logger in ("granian.access", "tornado.access", "uvicorn.access"):
    logging.getLogger(logger).addHandler(FullLog())


def application(environ: Any, start_response: Any) -> Any:
    environ["faults.outside"] = state.visible()
    return OUTER_ROUTES.get(environ["PATH_INFO"].strip("/"), served)(environ, start_response)
