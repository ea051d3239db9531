"""Flask: apps mounted in apps, with one context or two."""

from __future__ import annotations

from typing import Any

from flask import Flask, render_template_string
from support.flask_app import WorkCtx
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client

from tlctx.flask import TLCtx


def test_two_apps_with_two_contexts_one_mounted_in_the_other_each_see_their_own() -> None:
    outer_ctx, inner_ctx = WorkCtx([]), WorkCtx([])
    outer, inner = Flask("outer"), Flask("inner")
    TLCtx(outer, outer_ctx, lambda environ: {"user": "outer"})
    TLCtx(inner, inner_ctx, lambda environ: {"user": "inner"})
    for app, own, other in ((outer, outer_ctx, inner_ctx), (inner, inner_ctx, outer_ctx)):

        @app.get("/")
        def index(own: WorkCtx = own, other: WorkCtx = other) -> str:
            return render_template_string("{{ ctx.user }}") + f" {own.user} {getattr(other, 'user', 'nothing')}"

    outer.wsgi_app = DispatcherMiddleware(outer.wsgi_app, {"/inner": inner})  # type: ignore[method-assign]
    client = Client(outer)
    assert client.get("/", buffered=True).text == "outer outer nothing"
    assert client.get("/inner/", buffered=True).text == "inner inner nothing"


def test_inside_the_outers_middleware_the_mounted_app_sees_both() -> None:
    outer_ctx, inner_ctx = WorkCtx([]), WorkCtx([])
    outer, inner = Flask("outer"), Flask("inner")
    TLCtx(inner, inner_ctx, lambda environ: {"user": "inner"})
    inner.add_url_rule("/", view_func=lambda: f"{inner_ctx.user} in {outer_ctx.user}")
    outer.wsgi_app = DispatcherMiddleware(outer.wsgi_app, {"/inner": inner})  # type: ignore[method-assign]
    TLCtx(outer, outer_ctx, lambda environ: {"user": "outer"})
    assert Client(outer).get("/inner/", buffered=True).text == "inner in outer"


def test_one_context_in_both_is_one_request(ctx: WorkCtx, log: list[Any]) -> None:
    outer, inner = Flask("outer"), Flask("inner")
    TLCtx(inner, ctx)
    inner.add_url_rule("/", view_func=lambda: ctx.work)
    outer.wsgi_app = DispatcherMiddleware(outer.wsgi_app, {"/inner": inner})  # type: ignore[method-assign]
    TLCtx(outer, ctx, lambda environ: {"user": "ann"})
    assert Client(outer).get("/inner/", buffered=True).text == "work of ann"
    assert log == ["done for ann"]
