"""Flask: copies of a request's context, and the one that the debugger keeps, have the values that were assigned."""

from __future__ import annotations

import re
import threading
from typing import Any

import flask
import pytest
from flask import Flask, copy_current_request_context
from flask.ctx import AppContext
from support.flask_app import WorkCtx
from support.helpers import PATIENCE, Boom, in_thread, start_nothing
from werkzeug.debug import DebuggedApplication
from werkzeug.test import Client, create_environ

ANN = {"X-User": "ann"}


pytestmark = pytest.mark.usefixtures("no_scope_is_left")


# copy_current_request_context


def test_a_copied_context_has_the_values_from_when_it_was_copied_in_another_thread(
    app: Flask, ctx: WorkCtx, log: list[Any]
) -> None:
    go_on, seen = threading.Event(), []

    @app.get("/")
    def index() -> str:
        ctx.word = "before"

        @copy_current_request_context
        def job() -> None:
            assert go_on.wait(PATIENCE)
            seen.append((ctx.user, ctx.word, ctx.work, flask.request.path))
            ctx.word = "of the job"

        thread = threading.Thread(target=job)
        thread.start()
        threads.append(thread)
        ctx.word = "after"
        return ctx.work

    threads: list[threading.Thread] = []
    assert app.test_client().get("/", headers=ANN).text == "work of ann"
    assert log == ["done for ann"]
    go_on.set()
    threads[0].join(PATIENCE)
    assert seen == [("ann", "before", "work of ann", "/")]
    assert log == ["done for ann"] * 2


def test_a_copied_context_has_a_scope_of_its_own_on_the_requests_thread_too(
    app: Flask, ctx: WorkCtx, log: list[Any]
) -> None:
    @app.get("/")
    def index() -> str:
        ctx.word = "of the view"

        @copy_current_request_context
        def job() -> str:
            ctx.word = "of the job"
            return ctx.work

        assert job() == "work of ann"
        assert log == ["done for ann"]
        return ctx.word

    assert app.test_client().get("/", headers=ANN).text == "of the view"


def test_a_copy_of_a_copy_has_the_values_of_the_copy(app: Flask, ctx: WorkCtx) -> None:
    @app.get("/")
    def index() -> str:
        @copy_current_request_context
        def outer() -> str:
            ctx.word = "of the copy"
            return in_thread(copy_current_request_context(lambda: f"{ctx.user} {ctx.word}"))

        return in_thread(outer)

    assert app.test_client().get("/", headers=ANN).text == "ann of the copy"


def test_what_ends_a_copied_context_reaches_its_teardown_alone(app: Flask, ctx: WorkCtx, log: list[Any]) -> None:
    @app.get("/")
    def index() -> str:
        @copy_current_request_context
        def job() -> str:
            assert ctx.work
            raise Boom

        with pytest.raises(Boom):
            in_thread(job)
        return ctx.work

    app.test_client().get("/", headers=ANN)
    assert log == ["Boom", "done for ann"]


# The debugger


def test_the_console_of_the_debugger_has_the_values_of_the_request_that_failed(
    app: Flask, ctx: WorkCtx, log: list[Any]
) -> None:
    @app.get("/")
    def index() -> str:
        ctx.word = "pears"
        assert ctx.work
        raise Boom

    app.config["PROPAGATE_EXCEPTIONS"] = True
    debugged = DebuggedApplication(app, evalex=True, pin_security=False)
    client = Client(debugged)
    page = client.get("/", headers=ANN, errors_stream=None).text
    assert log == ["Boom"]
    secret = re.search(r'SECRET = "(\w+)"', page)
    frames = [number for number, frame in debugged.frames.items() if getattr(frame, "name", "") == "index"]
    assert secret is not None

    def run(command: str) -> str:
        query = {"__debugger__": "yes", "cmd": command, "frm": frames[0], "s": secret[1]}
        return client.get("/", query_string=query).text

    for _ in range(2):
        assert "ann" in run("ctx.user")
        assert "pears" in run("ctx.word")
        assert "work of ann" in run("ctx.work")
        run("ctx.word = 'figs'")
    assert log == ["Boom", "done for ann", "done for ann"]


def test_the_copy_is_in_nothing_that_the_environ_has(app: Flask, ctx: WorkCtx) -> None:
    kept: list[Any] = []
    environ = {**create_environ(), "werkzeug.debug.preserve_context": kept.append}
    app.add_url_rule("/", view_func=lambda: setattr(ctx, "word", "s3cret") or "")  # type: ignore[func-returns-value]
    app(environ, start_nothing)
    assert kept
    assert "s3cret" not in f"{environ} {[vars(each) for each in kept]}"
    assert {name for name in environ if name.startswith("tlctx.")} == {"tlctx.scopes"}


def test_no_copy_is_taken_where_the_context_is_not_kept(app: Flask, ctx: WorkCtx) -> None:
    @app.get("/")
    def index() -> str:
        contexts.append(flask.globals.app_ctx._get_current_object())  # type: ignore[attr-defined]
        if not hasattr(AppContext, "from_environ"):  # the request's context is another one
            contexts.append(flask.globals.request_ctx._get_current_object())  # type: ignore[attr-defined]
        return ""

    contexts: list[Any] = []
    app.test_client().get("/")
    assert contexts
    assert all(context._tlctx_copies is None for context in contexts)
