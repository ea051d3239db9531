"""Flask: what an exception does to the end of a request, and whose scope it is that ends."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import flask
import pytest
from flask import Flask, Response, current_app
from support.flask_app import Server, WorkCtx, app_with, raised_in_a_teardown, rows
from support.helpers import Boom, raising
from werkzeug.exceptions import HTTPException
from werkzeug.test import create_environ

from tlctx import ContextMiddleware, Scope, counters
from tlctx.flask import TLCtx
from tlctx.lowlevel import Observer, add_observer, remove_observer

# Errors


def test_a_teardown_that_fails_is_the_servers_500_and_is_counted_once(
    app: Flask, ctx: WorkCtx, caplog: pytest.LogCaptureFixture
) -> None:
    def view() -> str:
        ctx.callback(raising, Boom("the commit failed"))
        return "created"

    app_with(app, ctx, view)
    app.errorhandler(500)(lambda error: "never asked")
    app.errorhandler(Boom)(lambda error: "never asked")
    before = counters().failed_teardowns
    with raised_in_a_teardown(Boom):
        Server(app)
    assert counters().failed_teardowns == before + 1
    assert [record.getMessage().split(", ")[0] for record in caplog.records if record.name == "tlctx"] == [
        f"request #{serial_of(caplog)} (GET /): its teardown failed"
    ]


def serial_of(caplog: pytest.LogCaptureFixture) -> str:
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    return record.getMessage().split("#")[1].split(" ")[0]


@pytest.mark.parametrize("when", ["teardown_request", "teardown_appcontext"])
def test_a_teardown_function_that_raises_rolls_back(app: Flask, ctx: WorkCtx, log: list[Any], when: str) -> None:
    @getattr(app, when)  # type: ignore[untyped-decorator]
    def fail(error: BaseException | None) -> None:
        raise Boom

    with raised_in_a_teardown(Boom):
        Server(app_with(app, ctx, lambda: "a"))
    assert len(log) == 1
    assert "done" not in log[0]


def test_a_server_that_refuses_the_answer_rolls_back(app: Flask, ctx: WorkCtx, log: list[Any]) -> None:
    app_with(app, ctx, lambda: "a")
    with pytest.raises(Boom):
        app(create_environ(), lambda *_: raising(Boom()))
    assert log == ["Boom"]


@pytest.mark.parametrize("failing", [False, True], ids=["it works", "it fails too"])
def test_an_exception_that_flask_passes_on_goes_on_whatever_the_teardown_does(
    app: Flask, ctx: WorkCtx, log: list[Any], *, failing: bool
) -> None:
    def view() -> str:
        ctx.callback(lambda: log.append(current_app.name))
        if failing:
            ctx.callback(raising, KeyError("teardown"))
        raise Boom

    app_with(app, ctx, view)
    app.config["PROPAGATE_EXCEPTIONS"] = True
    with pytest.raises(Boom):
        Server(app)
    assert log == ["notes", "KeyError" if failing else "Boom"]


@pytest.mark.parametrize("handled", [False, True], ids=["by Flask", "by the application"])
def test_a_teardown_that_fails_after_an_answered_exception_is_the_servers_500(
    app: Flask, ctx: WorkCtx, *, handled: bool
) -> None:
    if handled:
        app.errorhandler(500)(lambda error: ("sorry", 500))

    def view() -> str:
        ctx.callback(raising, KeyError("teardown"))
        raise Boom

    with raised_in_a_teardown(KeyError):
        Server(app_with(app, ctx, view))


@pytest.mark.parametrize("raised", [Boom, SystemExit, KeyboardInterrupt])
def test_of_two_contexts_both_end_though_the_teardown_of_one_raises(
    app: Flask, ctx: WorkCtx, log: list[Any], raised: type[BaseException]
) -> None:
    other_log: list[Any] = []
    inside: list[bool] = []
    other = WorkCtx(other_log)
    TLCtx(app, other, name="other")

    def view() -> str:
        assert other.work
        ctx.callback(raising, raised())
        other.callback(raising, raised())
        other.callback(lambda: inside.append(flask.has_app_context()))
        return "a"

    app_with(app, ctx, view)
    with raised_in_a_teardown(raised):
        Server(app)
    assert log == other_log == [raised.__name__]
    assert inside == [True]


def test_a_way_out_that_a_teardown_takes_goes_before_the_exception_that_flask_passes_on(
    app: Flask, ctx: WorkCtx
) -> None:
    def view() -> str:
        ctx.callback(raising, SystemExit())
        raise Boom

    app_with(app, ctx, view)
    app.config["PROPAGATE_EXCEPTIONS"] = True
    with raised_in_a_teardown(SystemExit):
        Server(app)


class Errors(Observer):
    """Notes what ended each scope."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def end(self, scope: Scope, error: BaseException | None) -> None:
        self.seen.append(error)


@pytest.fixture
def errors() -> Iterator[Errors]:
    observer = Errors()
    add_observer(observer)
    yield observer
    remove_observer(observer)


def test_a_way_out_that_comes_when_the_answer_is_made_goes_before_what_the_teardown_raises(
    app: Flask, ctx: WorkCtx, log: list[Any]
) -> None:
    def view() -> str:
        ctx.callback(raising, KeyError("teardown"))
        return "a"

    def struck(*args: Any) -> Any:
        dispatch(*args)
        raise SystemExit

    app_with(app, ctx, view)
    dispatch: Any = app.full_dispatch_request
    app.full_dispatch_request = struck  # type: ignore[method-assign]
    with raised_in_a_teardown(SystemExit):
        Server(app)
    assert log == ["KeyError"]


@pytest.mark.parametrize("names", [[], ["other"]], ids=["one", "two"])
def test_who_observes_a_request_without_a_teardown_learns_what_ended_it(
    app: Flask, ctx: WorkCtx, errors: Errors, names: list[str]
) -> None:
    for name in names:
        TLCtx(app, WorkCtx([]), name=name)
    app.teardown_appcontext(lambda _: raising(Boom()))
    app.add_url_rule("/", view_func=lambda: ctx.user)
    with raised_in_a_teardown(Boom):
        Server(app)
    assert len(errors.seen) == 1 + len(names)
    assert None not in errors.seen


def test_who_observes_such_a_request_learns_of_the_server_that_refuses_its_answer(
    app: Flask, ctx: WorkCtx, errors: Errors
) -> None:
    app.add_url_rule("/", view_func=lambda: ctx.user)
    with pytest.raises(Boom):
        app(create_environ(), lambda *_: raising(Boom()))
    assert [type(error) for error in errors.seen] == [Boom]


def test_an_exception_that_is_answered_by_a_stream_ends_with_it(app: Flask, ctx: WorkCtx, log: list[Any]) -> None:
    app_with(app, ctx, lambda: raising(Boom()))
    app.errorhandler(500)(lambda error: Response(rows(), 500))
    server = Server(app)
    assert log == []
    server.body.close()
    assert log == ["Boom"]


def test_inside_the_handling_of_another_exception_it_ends_all_the_same(
    app: Flask, ctx: WorkCtx, log: list[Any]
) -> None:
    app_with(app, ctx, lambda: "a")
    try:
        raise Boom
    except Boom:
        Server(app)
        assert log == ["done for nobody"]


# Whose scope it is


def test_a_scope_that_a_middleware_outside_has_opened_ends_with_that(ctx: WorkCtx, log: list[Any]) -> None:
    app = app_with(Flask("inside"), ctx, lambda: "a")
    TLCtx(app, ctx)
    after: list[str] = []

    def outside(environ: Any, start_response: Any) -> Any:
        body = app(environ, start_response)
        after.append(ctx.user)
        return body

    server = Server(ContextMiddleware(outside, ctx, lambda environ: {"user": "ann"}))
    assert (after, log) == (["ann"], [])
    server.body.close()
    assert log == ["done for ann"]


def test_an_app_that_a_view_calls_with_its_own_environ_does_not_end_the_views_request(
    app: Flask, ctx: WorkCtx, log: list[Any]
) -> None:
    inner = app_with(Flask("inner"), ctx, lambda: ctx.user)
    TLCtx(inner, ctx)

    @app.get("/")
    def index() -> str:
        body = Server(inner, **flask.request.environ).body
        assert log == []
        return f"{b''.join(body).decode()} {ctx.user}"

    assert app.test_client().get("/", headers={"X-User": "ann"}).text == "ann ann"
    assert log == ["done for ann"]


def test_a_request_to_itself_ends_alone(app: Flask, ctx: WorkCtx, log: list[Any]) -> None:
    app.add_url_rule("/inner", view_func=lambda: ctx.work)

    @app.get("/")
    def index() -> str:
        Server(app, "/inner", HTTP_X_USER="bob")
        assert log == ["done for bob"]
        return ctx.work

    Server(app, HTTP_X_USER="ann")
    assert log == ["done for bob", "done for ann"]


def test_a_scope_by_hand_that_a_view_leaves_open_does_not_put_off_the_end(
    app: Flask, ctx: WorkCtx, log: list[Any]
) -> None:
    kept: list[Scope] = []
    Server(app_with(app, ctx, lambda: kept.append(ctx.scope().__enter__()) or "a"))  # type: ignore[func-returns-value]
    assert log == ["done for nobody"]
    assert kept[0].ended


def test_an_exception_class_that_makes_a_streamed_response_ends_as_a_stream(
    app: Flask, ctx: WorkCtx, log: list[Any]
) -> None:
    class Streamed(HTTPException):
        code = 404

        def get_response(self, *_: Any, **__: Any) -> Any:
            return Response(rows(), 404)

    server = Server(app_with(app, ctx, lambda: raising(Streamed())))
    assert log == []
    assert b"".join(server.body) == b"a"
    server.body.close()
    assert log == ["done for nobody"]
