"""The middleware: what it adds to one request, over the bare app, when called as a server calls it."""

from __future__ import annotations

import functools
import io
import wsgiref.util
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.measure import Effort, Job, Row, calling, compare
from benchmarks.rivals import load

import tlctx

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ENVIRON: dict[str, Any] = {
    "wsgi.errors": io.StringIO(), "wsgi.version": (1, 0), "wsgi.multithread": True, "wsgi.multiprocess": False,
    "wsgi.run_once": False, "wsgi.file_wrapper": wsgiref.util.FileWrapper, "wsgi.input_terminated": True,
    "wsgi.input": io.BytesIO(), "wsgi.url_scheme": "http", "SERVER_SOFTWARE": "gunicorn/27.0.1",
    "REQUEST_METHOD": "GET", "QUERY_STRING": "page=2", "RAW_URI": "/notes?page=2", "SERVER_PROTOCOL": "HTTP/1.1",
    "HTTP_HOST": "127.0.0.1:8000", "HTTP_USER_AGENT": "Mozilla/5.0", "HTTP_ACCEPT": "text/html",
    "HTTP_ACCEPT_ENCODING": "gzip", "HTTP_COOKIE": "session=abc", "REMOTE_ADDR": "127.0.0.1", "REMOTE_PORT": "50000",
    "SERVER_NAME": "127.0.0.1", "SERVER_PORT": "8000", "PATH_INFO": "/notes", "SCRIPT_NAME": "",
}  # fmt: skip
"""As gunicorn gives it."""


class Ctx(tlctx.RequestContext):
    """One declared field."""

    user: str = "stranger"


def answer(start_response: Any) -> None:
    start_response("200 OK", [("Content-Type", "text/plain")])


def a_list(environ: Any, start_response: Any) -> list[bytes]:
    answer(start_response)
    return [b"x"]


def one_chunk(environ: Any, start_response: Any) -> Iterator[bytes]:
    answer(start_response)
    yield b"x"


def many_chunks(environ: Any, start_response: Any) -> Iterator[bytes]:
    answer(start_response)
    for _ in range(100):
        yield b"x"


def a_file(environ: Any, start_response: Any) -> Any:
    answer(start_response)
    return environ["wsgi.file_wrapper"](io.BytesIO(b"x" * 1000))


APPS = {
    "middleware, list body": a_list,
    "middleware, stream of 1 chunk": one_chunk,
    "middleware, stream of 100 chunks": many_chunks,
    "middleware, file body": a_file,
}


@dataclass(frozen=True)
class Middleware:
    """A rival, from what wraps an app in it."""

    name: str
    make: Callable[[], Callable[[Any], Any]]
    distribution: str


def local_manager() -> Callable[[Any], Any]:
    werkzeug = load("werkzeug.local")
    return werkzeug.LocalManager([werkzeug.Local()]).make_middleware  # type: ignore[no-any-return]


def opentelemetry() -> Callable[[Any], Any]:
    wsgi, trace = load("opentelemetry.instrumentation.wsgi"), load("opentelemetry.sdk.trace")
    provider = trace.TracerProvider()
    return lambda app: wsgi.OpenTelemetryMiddleware(app, tracer_provider=provider)


def sentry() -> Callable[[Any], Any]:
    sdk, wsgi = load("sentry_sdk"), load("sentry_sdk.integrations.wsgi")
    dropping = type("Dropping", (sdk.Transport,), {"capture_envelope": lambda self, envelope: None})
    sdk.init("http://key@localhost/1", transport=dropping, default_integrations=False, auto_enabling_integrations=False)
    return wsgi.SentryWsgiMiddleware  # type: ignore[no-any-return]


RIVALS = [
    Middleware("werkzeug LocalManager", local_manager, "werkzeug"),
    Middleware("OpenTelemetry (SDK, no exporter)", opentelemetry, "opentelemetry-instrumentation-wsgi"),
    Middleware("Sentry (no traces, sends nothing)", sentry, "sentry-sdk"),
]


def start_response(status: str, headers: Any, exc_info: Any = None) -> Callable[[bytes], None]:
    return lambda data: None


def serve(app: Any, environ: dict[str, Any] = ENVIRON) -> Callable[[], None]:
    """A function that serves one request, as a server would."""

    def request() -> None:
        body = app(environ.copy(), start_response)
        for _ in body:
            pass
        close = getattr(body, "close", None)
        if close is not None:
            close()

    return request


def rows(rival: Middleware, effort: Effort) -> Iterator[Row]:
    try:
        wrap = rival.make()
    except ImportError:
        problem = f"not installed: {rival.distribution}"
        yield from (Row(work, rival.name, None, problem=problem) for work in APPS)
        return
    for work, app in APPS.items():
        ours, theirs = tlctx.ContextMiddleware(app, Ctx()), wrap(app)
        found = compare(calling(serve(app)), calling(serve(ours)), calling(serve(theirs)), effort)
        yield Row(work, rival.name, found)


JOBS = [Job(rival.name, functools.partial(rows, rival), 4) for rival in RIVALS]
