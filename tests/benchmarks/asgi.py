"""The ASGI middleware: what it adds to one request, in which a value is written and read, over the bare app."""

from __future__ import annotations

import asyncio
import functools
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.measure import Effort, Figure, Job, Row, calling, compare
from benchmarks.rivals import load

import tlctx
from tlctx.asgi import ContextMiddleware

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WORK = "ASGI middleware, a value written and read"
SCOPE: dict[str, Any] = {
    "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1",
    "server": ("127.0.0.1", 8000), "client": ("127.0.0.1", 50000), "scheme": "http", "method": "GET", "root_path": "",
    "path": "/notes", "raw_path": b"/notes", "query_string": b"page=2", "state": {},
    "headers": [
        (b"host", b"127.0.0.1:8000"), (b"user-agent", b"Mozilla/5.0"), (b"accept", b"text/html"),
        (b"accept-encoding", b"gzip"), (b"cookie", b"session=abc"),
    ],
}  # fmt: skip
"""As uvicorn gives it."""
START = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}
BODY = {"type": "http.response.body", "body": b"x"}


class Ctx(tlctx.RequestContext):
    """One declared field."""

    user: str = "stranger"


def answering(use: Callable[[], object]) -> Any:
    """An app that calls `use`, and answers."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        use()
        await send(START)
        await send(BODY)

    return app


def ours() -> Any:
    ctx = Ctx()

    def use() -> str:
        ctx.user = "ann"
        return ctx.user

    return ContextMiddleware(answering(use), ctx)


def starlette_context() -> Any:
    context, middleware = load("starlette_context").context, load("starlette_context.middleware")

    def use() -> object:
        context["user"] = "ann"
        return context["user"]

    return middleware.RawContextMiddleware(answering(use))


def asgi_correlation_id() -> Any:
    sys.modules["sentry_sdk"] = None  # type: ignore[assignment]  # where it can be imported, each request talks to it
    package = load("asgi_correlation_id")

    def use() -> object:
        package.correlation_id.set("ann")
        return package.correlation_id.get()

    return package.CorrelationIdMiddleware(answering(use))


@dataclass(frozen=True)
class Rival:
    name: str
    make: Callable[[], Any]
    distribution: str


RIVALS = [
    Rival("starlette-context RawContextMiddleware", starlette_context, "starlette-context"),
    Rival("asgi-correlation-id", asgi_correlation_id, "asgi-correlation-id"),
]


async def receive() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


async def send(message: Any) -> None: ...


def serve(app: Any) -> Callable[[], None]:
    """A function that serves one request to its end, on the event loop that runs already: nothing in it waits."""

    def request() -> None:
        try:
            app(SCOPE.copy(), receive, send).send(None)
        except StopIteration:
            return
        raise RuntimeError("the request waits for something")

    return request


def rows(rival: Rival, effort: Effort) -> Iterator[Row]:
    try:
        theirs = rival.make()
    except ImportError:
        yield Row(WORK, rival.name, None, problem=f"not installed: {rival.distribution}")
        return
    bare = answering(lambda: None)

    async def measure() -> Figure:
        return compare(calling(serve(bare)), calling(serve(ours())), calling(serve(theirs)), effort)

    yield Row(WORK, rival.name, asyncio.run(measure()))


JOBS = [Job(rival.name, functools.partial(rows, rival), 1) for rival in RIVALS]
