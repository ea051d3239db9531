"""Requests, run step by step as a server would, and applications and bodies that note what they see."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

from support.helpers import start_nothing
from werkzeug.test import create_environ

import tlctx
from tlctx import ContextMiddleware, Scope

ctx: Any = tlctx.ctx
REQUEST = {"REQUEST_METHOD": "GET", "PATH_INFO": "/"}


def answer(app: Any) -> Any:
    """The body of a request that the app has answered, in a scope of `ctx`."""
    return ContextMiddleware(app, ctx)(dict(REQUEST), start_nothing)


class Request:
    """One request, as a server would run it, step by step."""

    def __init__(self, app: Any, initialize: Any = None, *, context: Any = ctx, **environ: Any) -> None:
        self.started: list[Any] = []
        self.ended: list[Any] = []
        self.body: Any = None
        self.environ = {**create_environ("/path?query=s3cret"), **environ}

        def watched(environ: Any, start_response: Any) -> Any:
            scope = Scope.current(context)
            assert scope is not None
            scope.enter_context(Recorder(self.ended))
            return app(environ, start_response)

        self.middleware = ContextMiddleware(watched, context, initialize)

    def __call__(self) -> Any:
        self.body = self.middleware(self.environ, self.start_response)
        return self.body

    def start_response(self, *arguments: Any) -> Any:
        self.started.append(arguments)
        return self.started.append


class Recorder:
    """Notes the end of a scope, what it learned of, and what it could still read."""

    def __init__(self, log: list[Any]) -> None:
        self.log = log

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.log.append((kind, ctx.get("user")))


def nothing_is_current() -> bool:
    return getattr(ctx, "user", None) is None and ctx._local__impl.dicts == {}


def hello(environ: Any, start_response: Any) -> Any:
    ctx.user = "ann"
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


def stream(*chunks: bytes) -> Any:
    def app(environ: Any, start_response: Any) -> Any:
        ctx.user = "ann"
        start_response("200 OK", [("Content-Type", "text/plain")])

        def body() -> Iterator[bytes]:
            for chunk in chunks:
                assert ctx.user == "ann"
                yield chunk

        return body()

    return app


class Closes:
    def __init__(self, log: list[Any]) -> None:
        self.log = log

    def __iter__(self) -> Iterator[bytes]:
        yield b"a"

    def close(self) -> None:
        self.log.append(("close", ctx.user))


class Sized:
    def __init__(self, *chunks: bytes) -> None:
        self.chunks = chunks

    def __len__(self) -> int:
        assert ctx.user == "ann"
        return len(self.chunks)

    def __getitem__(self, number: int) -> bytes:
        assert ctx.user == "ann"
        return self.chunks[number]


def send_file(environ: Any, start_response: Any) -> Any:
    ctx.user = "ann"
    environ["opened"] = io.BytesIO(b"content")
    return environ["wsgi.file_wrapper"](environ["opened"])
