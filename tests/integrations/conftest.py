"""Fixtures of the tests of Flask. They import inside, so that they use the copy of tlctx that a test runs on."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture
def log() -> list[Any]:
    return []


@pytest.fixture
def ctx(log: list[Any]) -> Any:
    from support.flask_app import WorkCtx

    return WorkCtx(log)


@pytest.fixture
def no_scope_is_left(ctx: Any) -> Iterator[None]:
    from tlctx import Scope
    from tlctx.lowlevel import open_scopes

    yield
    assert Scope.current(ctx) is None
    assert [scope for scope in open_scopes() if scope.context is ctx] == []


@pytest.fixture
def app(ctx: Any) -> Iterator[Any]:
    from flask import Flask

    from tlctx.flask import TLCtx

    app = Flask("notes")
    TLCtx(app, ctx, lambda environ: {"user": environ.get("HTTP_X_USER", "nobody")})
    yield app
    gc.collect()
    assert ctx._local__impl.dicts == {}
