"""What a type checker, and so an editor, knows of a context."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import nullcontext
from dataclasses import field
from typing import Any, assert_type

import tlctx
from tlctx import ContextMiddleware, RequestContext, Scope, per_request
from tlctx.flask import TLCtx


class User:
    name: str


class Session:
    def count(self) -> int:
        return 0


class Ctx(RequestContext):
    user: User | None = None
    request_id: str

    @per_request
    def db(self) -> Iterator[Session]:
        yield Session()

    @per_request
    def other_db(self) -> Generator[Session, None, None]:
        yield Session()

    @per_request
    def settings(self) -> dict[str, int]:
        return {}


class Strict(RequestContext, strict=True):
    tags: list[str] = field(default_factory=list[str])


class Wrong(RequestContext, strict="yes"):  # type: ignore[arg-type]
    pass


ctx = Ctx()

assert_type(Strict().tags, list[str])
assert_type(ctx.user, User | None)
assert_type(ctx.request_id, str)
assert_type(ctx.db, Session)
assert_type(ctx.db.count(), int)
assert_type(ctx.other_db, Session)
assert_type(ctx.settings, dict[str, int])
assert_type(Ctx.db, per_request[Session])
assert_type(ctx.enter_context(nullcontext(5)), int)
assert_type(ctx.scope(user=User()), Scope)
with ctx.scope() as scope:
    assert_type(scope, Scope)
assert_type(Scope.current(ctx), Scope | None)

ctx.db = Session()
ctx.settings = {}
ctx.db = "no session"  # type: ignore[assignment]
del ctx.db
ctx.user = User()
ctx.user = "ann"  # type: ignore[assignment]
assert_type(ctx.get("user"), Any)
assert_type(ctx.pop("user", None), Any)
assert_type(ctx.setdefault("user", User()), Any)
typo = ctx.usr  # type: ignore[attr-defined]
ctx.usr = User()  # type: ignore[attr-defined]
ctx.callback(print, "5", end="")
ctx.callback(print, nonsense=10)  # type: ignore[arg-type]
ctx.enter_context(5)  # type: ignore[arg-type]

assert_type(tlctx.ctx.anything, Any)
tlctx.ctx.anything = 5

local = tlctx.local()
assert_type(local.x, Any)
local.x = 1


def app(environ: Any, start_response: Any) -> list[bytes]:
    return []


ContextMiddleware(app, ctx)
ContextMiddleware(app, ctx, lambda environ: {"user": environ["REMOTE_USER"]})
ContextMiddleware(app, Ctx)  # type: ignore[arg-type]
ContextMiddleware(app, ctx, lambda: {"user": None})  # type: ignore[arg-type,misc]
TLCtx(ctx=ctx)
TLCtx(ctx=5)  # type: ignore[arg-type]
