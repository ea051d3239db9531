"""The app that the soak serves: answers that name their own user, one in twenty of them with a fault.

It counts what it sees: values that were left on the thread, and what was opened and closed. FAULTS_MIDDLEWARE says
which middleware serves it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from servers.naive import NaiveContext, NaiveMiddleware
from support.open_scopes import find_open_scopes

from tlctx import ContextMiddleware, RequestContext, Scope, counters
from tlctx._core.reports import Count

CHUNK = b"c" * 65536


class Ctx(RequestContext):
    role: str = "visitor"


tlctx_serves = os.environ["FAULTS_MIDDLEWARE"] == "tlctx"
ctx: Any = Ctx() if tlctx_serves else NaiveContext()
Middleware: Any = ContextMiddleware if tlctx_serves else NaiveMiddleware


opened, closed, residues = Count(), Count(), Count()
pools: list[ThreadPoolExecutor] = []


class Boom(Exception):
    pass


class ClosingBody:
    def __init__(self, user: str) -> None:
        self.chunks = named(user)

    def __iter__(self) -> Iterator[bytes]:
        return self.chunks

    def close(self) -> None:
        raise Boom


def named(user: str) -> Iterator[bytes]:
    """Four chunks, each with the user that the context shows when it is made."""
    for _ in range(4):
        yield f"{ctx.user} ".encode()


def failing(user: str) -> Iterator[bytes]:
    yield f"{ctx.user} ".encode()
    raise Boom


def endless(user: str) -> Iterator[bytes]:
    for _ in range(1000):
        if ctx.user != user:
            residues.add()
        yield CHUNK


def raise_now(*_: Any) -> Any:
    raise Boom


def stop_now(*_: Any) -> Any:
    raise StopIteration


def teardown_fails(environ: Any, user: str) -> Any:
    ctx.callback(raise_now)
    return named(user)


def job_outlives(environ: Any, user: str) -> Any:
    if not pools:
        pools.append(ThreadPoolExecutor(2))
    pools[0].submit(look_from_outside)
    return [f"{ctx.user} ".encode()]


def look_from_outside() -> None:
    if getattr(ctx, "user", None) is not None:
        residues.add()


def log_fails(environ: Any, user: str) -> Any:
    environ[42] = "gunicorn's access log fails at this key, and the body is never closed"
    return named(user)


RIGHT: dict[str, Callable[[Any, str], Any]] = {
    "list": lambda environ, user: [f"{ctx.user} ".encode()],
    "stream": lambda environ, user: named(user),
    "anonymous": lambda environ, user: [f"{getattr(ctx, 'user', 'nobody')} ".encode()],
}
WRONG: dict[str, Callable[[Any, str], Any]] = {
    "raise": raise_now,
    "stop": stop_now,
    "none": lambda environ, user: None,
    "raise_in_stream": lambda environ, user: failing(user),
    "close_raises": lambda environ, user: ClosingBody(user),
    "teardown_fails": teardown_fails,
    "log_fails": log_fails,
    "reset": lambda environ, user: endless(user),  # the client leaves in the middle
    "job_outlives": job_outlives,
}


def serve(environ: Any, start_response: Any) -> Any:
    name, user = environ["PATH_INFO"].strip("/").split("/")
    if name == "report":
        return report(start_response)
    visible = set(ctx if tlctx_serves else ctx.names()) - {"role"}
    if visible:
        residues.add()
    opened.add()
    ctx.callback(closed.add)
    if name != "anonymous":
        ctx.user = user
    start_response("200 OK", [("Content-Type", "text/plain")])
    return (RIGHT.get(name) or WRONG[name])(environ, user)


def report(start_response: Any) -> list[bytes]:
    """What was counted so far."""
    open_now = find_open_scopes(besides=Scope.current(ctx) if tlctx_serves else None)
    numbers = {
        "opened": opened.total, "closed": closed.total, "residues": residues.total, "open": len(open_now),
        "cleanups": list(counters()),
    }  # fmt: skip
    text = json.dumps(numbers).encode()
    start_response("200 OK", [("Content-Length", str(len(text)))])
    return [text]


served = Middleware(serve, ctx)


def application(environ: Any, start_response: Any) -> Any:
    if environ["PATH_INFO"] == "/start_afresh":
        start_response("204 No Content", [])
        return []
    if tlctx_serves and Scope.current(ctx) is not None:
        residues.add()
    return served(environ, start_response)
