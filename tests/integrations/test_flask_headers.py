"""Request ids in a Flask application, with the middleware inside of TLCtx's and outside of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask, copy_current_request_context, stream_with_context
from support.headers import HeadersCtx, assigner_removed_after
from support.helpers import in_thread

from tlctx.flask import TLCtx
from tlctx.headers import Headers

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def ctx() -> Any:
    return HeadersCtx()


@pytest.fixture(params=["inside", "outside"])
def app(request: pytest.FixtureRequest, ctx: Any) -> Iterator[Flask]:
    app = Flask("notes")
    headers = Headers(ctx, echo=True)
    with assigner_removed_after():
        if request.param == "inside":
            app.wsgi_app = headers.wsgi(app.wsgi_app)  # type: ignore[method-assign]
            TLCtx(app, ctx)
        else:
            TLCtx(app, ctx)
            app.wsgi_app = headers.wsgi(app.wsgi_app)  # type: ignore[method-assign]
        yield app


def get(app: Flask, path: str = "/") -> Any:
    return app.test_client().get(path, headers={"X-Request-ID": "abc-1"})


def test_views_templates_and_errors_have_the_request_id(app: Flask, ctx: Any) -> None:
    @app.get("/")
    def view() -> Any:
        return ctx.request_id

    @app.get("/fail")
    def fail() -> Any:
        raise ValueError

    @app.errorhandler(500)
    def failed(error: Any) -> Any:
        return ctx.request_id, 500

    for path in ("/", "/fail"):
        answer = get(app, path)
        assert (answer.text, answer.headers["X-Request-ID"]) == ("abc-1", "abc-1")


def test_a_stream_has_it_to_its_last_byte(app: Flask, ctx: Any) -> None:
    @app.get("/")
    def view() -> Any:
        return stream_with_context(ctx.request_id for _ in range(2))

    assert get(app).text == "abc-1abc-1"


def test_a_copied_request_context_has_it(app: Flask, ctx: Any) -> None:
    @app.get("/")
    def view() -> Any:
        return in_thread(copy_current_request_context(lambda: ctx.request_id))

    assert get(app).text == "abc-1"
