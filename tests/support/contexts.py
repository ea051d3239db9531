"""Contexts that several test files use, and how to look at one from anywhere."""

from __future__ import annotations

from dataclasses import field
from typing import Any, ClassVar

from tlctx import RequestContext, per_request


class Ctx(RequestContext):
    user: str | None = None
    request_id: str
    limit = 10
    shared: ClassVar[dict[str, int]] = {}

    def greeting(self) -> str:
        return f"Hello, {self.user}!"

    @property
    def is_admin(self) -> bool:
        return self.user == "admin"

    @property
    def broken(self) -> int:
        return self.user.nonsense  # type: ignore[no-any-return,union-attr]


class MadeCtx(Ctx):
    @per_request
    def made(self) -> int:
        return 1


class UserCtx(RequestContext):
    user: str = "nobody"


def seen(ctx: Any) -> str:
    return getattr(ctx, "user", "nothing")


class SnapshotCtx(RequestContext, not_copied=["socket"]):
    user: str = "nobody"
    socket: object = None
    tags: list[str] = field(default_factory=list)
    note: str

    @per_request
    def session(self) -> object:
        return object()
