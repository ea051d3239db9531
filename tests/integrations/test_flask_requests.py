"""Flask: every request is fresh, in views, templates, hooks, streams and files."""

from __future__ import annotations

import gc
import io
import threading
from collections.abc import Iterator
from typing import Any

import flask
import pytest
from flask import Flask, render_template_string, send_file, stream_with_context
from jinja2 import DictLoader
from support.flask_app import WorkCtx
from support.helpers import PATIENCE

import tlctx
from tlctx import OutsideRequestError, RequestContext
from tlctx.flask import TLCtx


def test_every_request_is_fresh_and_gone_after_it(app: Flask, ctx: WorkCtx, log: list[Any]) -> None:
    @app.get("/")
    def index() -> str:
        before, ctx.word = ctx.get("word"), "left behind?"
        return f"{ctx.work}, {before}"

    client = app.test_client()
    for user in ("ann", "bob"):
        assert client.get("/", headers={"X-User": user}).text == f"work of {user}, None"
        with pytest.raises(OutsideRequestError):
            _ = ctx.user
    assert log == ["done for ann", "done for bob"]


def test_an_application_factory_uses_init_app_and_one_context_may_serve_many_apps(ctx: WorkCtx) -> None:
    extension = TLCtx(ctx=ctx)

    def create_app(name: str) -> Flask:
        app = Flask(name)
        extension.init_app(app)
        app.add_url_rule("/", view_func=lambda: f"{flask.current_app.name} {ctx.user}")
        return app

    for app in [create_app("one"), create_app("two")]:
        assert app.test_client().get("/").text == f"{app.name} nobody"


def test_without_a_context_it_is_the_one_that_tlctx_exports() -> None:
    app = Flask("plain")
    TLCtx(app)

    @app.get("/")
    def index() -> str:
        tlctx.ctx.user = "ann"
        return render_template_string("{{ ctx.user }}")

    assert app.test_client().get("/").text == "ann"


def test_a_second_time_for_the_same_app_and_a_wrong_context_are_refused(app: Flask, ctx: WorkCtx) -> None:
    with pytest.raises(RuntimeError, match="<Flask 'notes'> has this context already"):
        TLCtx(app, ctx)
    wrong: Any = WorkCtx
    with pytest.raises(TypeError, match="give an instance, not the class"):
        TLCtx(Flask("other"), wrong)


def test_two_contexts_that_claim_to_be_equal_may_serve_one_app(app: Flask) -> None:
    class Equal(RequestContext):
        __hash__ = RequestContext.__hash__

        def __eq__(self, other: object) -> bool:
            return True

    TLCtx(app, Equal(), name="first")
    second = Equal()
    TLCtx(app, second, lambda environ: {"user": "of the second"}, name="second")
    app.add_url_rule("/", view_func=lambda: second.user)  # type: ignore[attr-defined]
    assert app.test_client().get("/").text == "of the second"


def test_what_it_wraps_keeps_its_name(app: Flask) -> None:
    async def view() -> str:
        return "answer"

    for name in (
        "handle_user_exception", "async_to_sync", "do_teardown_appcontext", "finalize_request", "app_context",
        "request_context", "create_jinja_environment",
    ):  # fmt: skip
        assert getattr(app, name).__name__ == name
        assert getattr(app, name).__doc__ == getattr(Flask, name).__doc__
    assert app.async_to_sync(view).__name__ == "view"


def test_templates_and_the_macros_they_import_see_it(app: Flask) -> None:
    app.jinja_loader = DictLoader({"macros.html": "{% macro who() %}{{ ctx.user }}{% endmacro %}"})
    template = "{% from 'macros.html' import who %}{{ ctx.user }} {{ who() }} {{ ctx.word is defined }}"
    app.add_url_rule("/", view_func=lambda: render_template_string(template))
    assert app.test_client().get("/", headers={"X-User": "ann"}).text == "ann ann False"


def test_hooks_and_teardown_functions_of_flask_see_it(app: Flask, ctx: WorkCtx) -> None:
    seen: list[str] = []

    @app.before_request
    def before() -> None:
        seen.append(f"before {ctx.user}")

    @app.after_request
    def after(response: flask.Response) -> flask.Response:
        seen.append(f"after {ctx.user}")
        return response

    app.teardown_request(lambda _: seen.append(f"teardown {ctx.user}"))
    app.teardown_appcontext(lambda _: seen.append(f"appcontext {ctx.user}"))
    app.add_url_rule("/", view_func=lambda: flask.Response("", headers={}))
    app.test_client().get("/", headers={"X-User": "ann"})
    assert seen == ["before ann", "after ann", "teardown ann", "appcontext ann"]


def test_a_streamed_answer_goes_on_in_its_scope(app: Flask, ctx: WorkCtx, log: list[Any]) -> None:
    @app.get("/")
    def index() -> Any:
        def rows() -> Iterator[str]:
            for number in range(3):
                yield f"{number} {ctx.work};"

        return rows()

    client = app.test_client()
    first = client.get("/", headers={"X-User": "ann"}, buffered=False)
    assert client.get("/", headers={"X-User": "bob"}).text == "0 work of bob;1 work of bob;2 work of bob;"
    assert first.text == "0 work of ann;1 work of ann;2 work of ann;"
    assert log == ["done for bob"]
    first.close()
    assert log == ["done for bob", "done for ann"]


def test_the_request_has_ended_when_the_test_client_returns(app: Flask, ctx: WorkCtx, log: list[Any]) -> None:
    app.add_url_rule("/", view_func=lambda: ctx.work)
    with app.test_client() as client:
        answer = client.get("/")
        assert log == ["done for nobody"]
        assert answer.status_code == 200


def test_an_abandoned_stream_that_poisons_flasks_own_context_leaves_ours_alone(
    app: Flask, ctx: WorkCtx, log: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    @app.get("/stream")
    def stream() -> Any:
        def rows() -> Iterator[str]:
            yield ctx.work
            yield "never taken"

        return app.response_class(stream_with_context(rows()))

    app.add_url_rule("/", view_func=lambda: ctx.user)

    def abandon() -> None:
        client = app.test_client()
        answer: Any = client.get("/stream", headers={"X-User": "ann"}, buffered=False)
        next(answer.iter_encoded())
        del answer
        gc.collect()
        assert client.get("/", headers={"X-User": "bob"}).text == "bob"

    thread = threading.Thread(target=abandon)
    thread.start()
    thread.join(PATIENCE)
    assert "the server dropped its body without close()" in caplog.text
    assert len(log) == 1


def test_a_file_is_sent(app: Flask, ctx: WorkCtx, log: list[Any]) -> None:
    app.add_url_rule("/", view_func=lambda: ctx.work and send_file(io.BytesIO(b"content"), "text/plain"))
    answer = app.test_client().get("/")
    assert (answer.data, answer.content_length) == (b"content", 7)
    answer.close()
    assert log == ["done for nobody"]


def test_a_request_made_inside_a_view_gets_its_own_scope(app: Flask, ctx: WorkCtx) -> None:
    app.add_url_rule("/inner", view_func=lambda: ctx.user)

    @app.get("/")
    def index() -> str:
        inner = app.test_client().get("/inner", headers={"X-User": "bob"}).text
        return f"{ctx.user} asked {inner}"

    assert app.test_client().get("/", headers={"X-User": "ann"}).text == "ann asked bob"
