"""Flask: requests where both contexts are one, as in its newer versions."""

from __future__ import annotations

from typing import Any

import flask
import pytest
from flask import Flask, Response, copy_current_request_context
from support.flask_app import Server, WorkCtx, app_with, raised_in_a_teardown, rows
from support.flask_merged import merged_flask
from support.helpers import Boom, in_thread, raising

from tlctx import OutsideRequestError
from tlctx.flask import TLCtx

WAYS_OUT = [Boom, SystemExit]
pytestmark = pytest.mark.usefixtures("no_scope_is_left")


@pytest.fixture
def app(ctx: WorkCtx, monkeypatch: pytest.MonkeyPatch) -> Flask:
    app = merged_flask("merged", monkeypatch)
    TLCtx(app, ctx, lambda environ: {"user": environ.get("HTTP_X_USER", "nobody")})
    return app


def test_a_request_has_one_scope_that_ends_before_its_answer_goes_out(app: Flask, ctx: WorkCtx, log: list[Any]) -> None:
    app_with(app, ctx, lambda: ctx.user)
    for user in ("ann", "bob"):
        server = Server(app, HTTP_X_USER=user)
        assert log.pop() == f"done for {user}"
        assert b"".join(server.body) == user.encode()
    with pytest.raises(OutsideRequestError):
        _ = ctx.user


def test_it_ends_inside_the_context_after_the_teardown_functions(app: Flask, ctx: WorkCtx, log: list[Any]) -> None:
    app.teardown_request(lambda _: log.append("request"))
    app.teardown_appcontext(lambda _: log.append("app context"))

    def view() -> str:
        ctx.callback(lambda: log.append(flask.current_app.name))
        return "a"

    app_with(app, ctx, view)
    Server(app)
    assert log == ["request", "app context", "merged", "done for nobody"]


def test_a_streamed_answer_keeps_it(app: Flask, ctx: WorkCtx, log: list[Any]) -> None:
    server = Server(app_with(app, ctx, lambda: Response(rows())))
    assert log == []
    server.body.close()
    assert log == ["done for nobody"]


def test_an_app_context_outside_a_request_has_a_scope(app: Flask, ctx: WorkCtx, log: list[Any]) -> None:
    with app.app_context():
        ctx.user = "script"
        assert ctx.work
        with app.app_context():
            assert ctx.user == "script"
        assert log == []
    assert log == ["done for script"]


def test_a_test_request_context_has_a_scope_of_its_own_which_initialize_fills(
    app: Flask, ctx: WorkCtx, log: list[Any]
) -> None:
    app_with(app, ctx, lambda: "a")
    with app.app_context():
        ctx.user = "script"
        context = app.test_request_context(headers={"X-User": "ann"})
        with context:
            assert ctx.work == "work of ann"
            with context:
                assert ctx.user == "ann"
            assert log == []
        assert log == ["done for ann"]
        assert ctx.user == "script"


def test_a_copy_of_the_context_has_a_copy_of_the_values(app: Flask, ctx: WorkCtx, log: list[Any]) -> None:
    def view() -> str:
        ctx.word = "before"
        job: Any = copy_current_request_context(lambda: f"{ctx.work} {ctx.word}")
        ctx.word = "after"
        answers = [job(), in_thread(job), ctx.word]
        assert log == ["done for ann"] * 2
        return "; ".join(answers)

    server = Server(app_with(app, ctx, view), HTTP_X_USER="ann")
    assert b"".join(server.body) == b"work of ann before; work of ann before; after"
    assert log == ["done for ann"] * 3


@pytest.mark.parametrize("raised", WAYS_OUT)
@pytest.mark.parametrize("when", ["teardown_request", "teardown_appcontext"])
def test_a_teardown_function_that_raises_rolls_back(
    app: Flask, ctx: WorkCtx, log: list[Any], when: str, raised: type[BaseException]
) -> None:
    getattr(app, when)(lambda _: raising(raised()))
    app_with(app, ctx, lambda: "a")
    with raised_in_a_teardown(raised):
        Server(app)
    assert len(log) == 1
    assert "done" not in log[0]
    log.clear()
    with raised_in_a_teardown(raised), app.test_request_context():
        assert ctx.work
    assert len(log) == 1


def test_what_two_teardown_functions_raise_is_raised_and_the_scope_has_ended(
    app: Flask, ctx: WorkCtx, log: list[Any]
) -> None:
    app.teardown_request(lambda _: raising(Boom()))
    app.teardown_appcontext(lambda _: raising(KeyError()))
    app_with(app, ctx, lambda: "a")
    for error in (Boom, KeyError):
        with raised_in_a_teardown(error):
            Server(app)
    assert len(log) == 2
    assert "done for nobody" not in log


def test_a_commit_that_fails_is_the_servers_500(app: Flask, ctx: WorkCtx, log: list[Any]) -> None:
    def view() -> str:
        ctx.callback(raising, Boom("the commit failed"))
        return "created"

    app_with(app, ctx, view)
    with raised_in_a_teardown(Boom):
        Server(app)
    assert log == ["Boom"]


def test_what_is_wrapped_keeps_its_name(app: Flask) -> None:
    for name in ("do_teardown_request", "do_teardown_appcontext", "finalize_request", "app_context", "request_context"):
        method = getattr(type(app), name)
        assert (getattr(app, name).__name__, getattr(app, name).__doc__) == (name, method.__doc__)
