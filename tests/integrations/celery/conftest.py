"""What tests of Celery share. The fixtures import inside, so that they use the copy of tlctx that a test runs on."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def ctx() -> Any:
    from support.celery_app import TaskCtx

    return TaskCtx()


@pytest.fixture
def app(ctx: Any) -> Any:
    from support.celery_app import make_app

    return make_app(ctx)


@pytest.fixture
def seen() -> list[Any]:
    return []


@pytest.fixture
def look(app: Any, ctx: Any, seen: list[Any]) -> Any:
    """A task that notes what it sees, and then changes it."""
    from support.celery_app import task_of

    @task_of(app, name="look")
    def look(*_: Any) -> str:
        seen.append((ctx.user, ctx.get("tags"), ctx.secret))
        ctx.user, ctx.tags, ctx.secret = "changed", "changed", "changed"
        return "looked"

    return look


@pytest.fixture
def no_scope_is_left(ctx: Any) -> Any:
    from tlctx import Scope
    from tlctx.lowlevel import open_scopes

    yield
    assert Scope.current(ctx) is None
    assert [scope for scope in open_scopes() if scope.context is ctx] == []
