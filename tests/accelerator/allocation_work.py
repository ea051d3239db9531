"""What is done while allocations fail: each piece of work has to leave the thread as it was, whatever fails."""

from __future__ import annotations

import contextvars
import io
from dataclasses import field
from typing import TYPE_CHECKING, Any
from wsgiref.util import FileWrapper

from support.helpers import start_nothing

import tlctx
from tlctx import ContextMiddleware, RequestContext, Scope, per_request
from tlctx._core.implementation import attach, swap_dict
from tlctx.lowlevel import copy_scope

if TYPE_CHECKING:
    from collections.abc import Callable


class Ctx(RequestContext):
    user: str = "nobody"

    @per_request
    def made(self) -> list[str]:
        return ["made for", self.user]


class Strict(RequestContext, strict=True):
    user: str = "nobody"
    tags: list[str] = field(default_factory=list)


class Special(tlctx.local):
    def __init__(self, value: object) -> None:
        self.value = value

    @property
    def computed(self) -> object:
        return self.value


class AppError(Exception):
    pass


class Stream:
    """A body of three chunks, or of one and an error."""

    def __init__(self, *, fails: bool = False) -> None:
        self.left = 3
        self.fails = fails

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> bytes:
        if self.left == 0:
            raise StopIteration
        if self.left == 2 and self.fails:
            raise AppError
        self.left -= 1
        return bytes(ctx.user.encode())


ctx: Any = Ctx()
strict: Any = Strict()
kept: Any = tlctx.local()
special: Any = Special(1)
in_two_scopes = contextvars.copy_context()
for used in (strict, ctx):  # here, as setting a context variable without memory may end CPython
    in_two_scopes.run(attach, Scope(used))


def make_locals() -> None:
    tlctx.local()
    Special([])
    type("Mine", (tlctx.local,), {})()


def use_attributes() -> None:
    kept.x = [1]
    assert kept.x == [1]
    assert vars(kept)["x"] == [1]
    assert getattr(kept, "missing", None) is None
    kept.y = 2
    del kept.y
    assert special.computed == 1
    swap_dict(special, None)
    assert special.computed == 1


def bind_by_hand() -> None:
    scope = Scope(ctx)
    try:
        displaced = scope.bind()
        try:
            ctx.user = "ann"
            assert ctx.user == "ann"
        finally:
            scope.unbind(displaced)
    finally:
        scope.close()


def open_scopes_by_with() -> None:
    with ctx.scope(user="ann"):
        assert ctx.user == "ann"
        with ctx.scope():
            assert ctx.user == "nobody"


def open_strict_scopes() -> None:
    with strict.scope(user="ann"):
        strict.user = "bob"
        strict.tags = [strict.user]
        assert strict.pop("user") == "bob"


def use_attached() -> None:
    ctx.user = "ann"
    assert (ctx.user, ctx.get("user"), strict.user) == ("ann", "ann", "nobody")
    del ctx.user


def use_attached_scopes() -> None:
    in_two_scopes.run(use_attached)


def run_jobs() -> None:
    with ctx.scope(user="ann"):
        first, second = copy_scope(ctx), copy_scope(ctx)
        assert first.run(getattr, ctx, "user") == second.run(getattr, ctx, "user", None) == "ann"


def answer_a_list(environ: Any, start_response: Any) -> Any:
    ctx.user = "ann"
    return [ctx.user.encode()]


def answer_a_stream(environ: Any, start_response: Any) -> Any:
    ctx.user = "ann"
    return Stream()


def answer_a_generator(environ: Any, start_response: Any) -> Any:
    ctx.user = "ann"
    return (ctx.user.encode() for _ in range(3))


def answer_a_file(environ: Any, start_response: Any) -> Any:
    ctx.user = "ann"
    return environ["wsgi.file_wrapper"](io.BytesIO(b"x" * 10))


def answer_an_error(environ: Any, start_response: Any) -> Any:
    ctx.user = "ann"
    raise AppError


def fail_while_streaming(environ: Any, start_response: Any) -> Any:
    return Stream(fails=True)


def answer_with_a_teardown(environ: Any, start_response: Any) -> Any:
    ctx.callback(len, "first")
    assert ctx.made[1] == "nobody"
    ctx.callback(len, ctx.made)
    return [b"a"]


def served(app: Any) -> Callable[[], None]:
    """A request, as a server runs it."""
    middleware = ContextMiddleware(app, ctx)
    chunks: list[bytes] = [b""] * 8

    def serve() -> None:
        environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "wsgi.file_wrapper": FileWrapper}
        try:
            body: Any = middleware(environ, start_nothing)
            try:
                for number, chunk in enumerate(body):
                    chunks[number] = chunk
            finally:
                if type(body) is not list:
                    body.close()
        except AppError:
            pass

    return serve


WORK: dict[str, Callable[[], None]] = {
    "make_locals": make_locals,
    "use_attributes": use_attributes,
    "bind_by_hand": bind_by_hand,
    "open_scopes_by_with": open_scopes_by_with,
    "open_strict_scopes": open_strict_scopes,
    "use_attached_scopes": use_attached_scopes,
    "run_jobs": run_jobs,
    **{
        app.__name__: served(app)
        for app in (
            answer_a_list, answer_a_stream, answer_a_generator, answer_a_file, answer_an_error,
            fail_while_streaming, answer_with_a_teardown,
        )
    },
}  # fmt: skip
next_request = served(answer_a_stream)
