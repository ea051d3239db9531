"""The context of the program of `ways.py`, and how it gets to other code: by tlctx, or naively, as a control.

FAULTS_MIDDLEWARE says which: "tlctx", "naive" for values of the thread, which nothing hands on, or "global" for values
that all threads share.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

from flask import request
from servers.naive import NaiveContext
from servers.ways_tally import tally

from tlctx import RequestContext, per_request, threads
from tlctx.asgi import ContextMiddleware
from tlctx.celery import install
from tlctx.flask import TLCtx

WORKERS = 8


class Work:
    """What `per_request` makes: it knows for whom."""

    def __init__(self, user: str) -> None:
        self.user = user


class Ctx(RequestContext):
    user: str
    step: str
    """What each scope writes for itself."""

    @per_request
    def work(self) -> Iterator[Work]:
        work = Work(self.user)
        tally.add("made")
        yield work
        tally.look("teardown: per_request", work.user, lambda: self.user)
        tally.add("closed")


class Carried:
    """The context that tlctx hands on."""

    def __init__(self) -> None:
        self.ctx: Any = Ctx()
        self.pool: Any = threads.ThreadPoolExecutor(WORKERS, contexts=[self.ctx])

    def thread(self, target: Callable[..., Any], *args: Any) -> threading.Thread:
        return threads.Thread(target=target, args=args, contexts=[self.ctx])

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return threads.wrap(function, self.ctx)

    def scope(self) -> Any:
        """A block in a scope of its own, with a copy of the values."""
        return threads.snapshot(self.ctx).scope()

    def serve_flask(self, app: Any) -> None:
        TLCtx(app, self.ctx, initialize=lambda environ: {"user": environ["QUERY_STRING"]})

    def serve_asgi(self, app: Any) -> Any:
        return ContextMiddleware(app, self.ctx, lambda scope: {"user": scope["query_string"].decode()})

    def serve_celery(self, app: Any) -> None:
        install(app, self.ctx, ["user"])


class Naive:
    """The same with an object of the module, whose values are set at each request's beginning."""

    def __init__(self, ctx: Any) -> None:
        self.ctx = ctx
        self.pool: Any = concurrent.futures.ThreadPoolExecutor(WORKERS)

    def thread(self, target: Callable[..., Any], *args: Any) -> threading.Thread:
        return threading.Thread(target=target, args=args)

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return function

    def scope(self) -> Any:
        return contextlib.nullcontext()

    def serve_flask(self, app: Any) -> None:
        app.before_request(lambda: self._begin(request.environ["QUERY_STRING"]))

    def serve_asgi(self, app: Any) -> Any:
        async def begin(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                self._begin(scope["query_string"].decode())
            await app(scope, receive, send)

        return begin

    def serve_celery(self, app: Any) -> None:
        """Nothing goes to the workers."""

    def _begin(self, user: str) -> None:
        self.ctx.user, self.ctx.work = user, Work(user)


SIDES: dict[str, Callable[[], Carried | Naive]] = {
    "tlctx": Carried,
    "naive": lambda: Naive(NaiveContext()),
    "global": lambda: Naive(SimpleNamespace()),
}
side = SIDES[os.environ["FAULTS_MIDDLEWARE"]]()
ctx = side.ctx
plain = concurrent.futures.ThreadPoolExecutor(WORKERS)
"""A pool that knows nothing of the context. Its jobs wait for no other, so everybody may wait for them."""
