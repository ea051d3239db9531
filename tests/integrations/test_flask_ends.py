"""Flask: a request ends before its answer goes out, unless that is streamed."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator
from typing import Any

import flask
import pytest
from flask import Flask, Response, abort, current_app, redirect, send_file, stream_with_context
from support.flask_app import WorkCtx, raised_in_a_teardown
from support.helpers import Boom, raising
from werkzeug.exceptions import HTTPException, NotFound
from werkzeug.test import create_environ
from werkzeug.wsgi import ClosingIterator

from tlctx import ContextMiddleware, RequestContext, RequestEndedError, Scope, counters, per_request
from tlctx.flask import TLCtx


class Server:
    """Calls an application and reads nothing yet."""

    def __init__(self, app: Any, path: str = "/", **environ: Any) -> None:
        self.started: list[Any] = []
        self.body = app({**create_environ(path), **environ}, lambda *arguments: self.started.append(arguments))


def rows() -> Iterator[str]:
    yield "a"


class OwnEncoding(Response):
    def iter_encoded(self) -> Any:
        return iter([b"a"])


class OwnClose(Response):
    def close(self) -> None:
        super().close()


class OwnList(list[str]):
    pass


def with_call_on_close() -> Response:
    response = Response("a")
    response.call_on_close(lambda: None)
    return response


ENDED: dict[str, Callable[[], Any]] = {
    "a text": lambda: "a",
    "bytes": lambda: b"a",
    "a dict": lambda: {"a": 1},
    "a status": lambda: ("a", 201),
    "a list": lambda: Response(["a", "b"]),
    "a tuple": lambda: Response(("a", "b")),
    "nothing": Response,
    "a redirect": lambda: redirect("/other"),
    "abort": lambda: abort(409),
    "abort with a response": lambda: abort(Response("gone", 410)),
    "an exception that Flask answers": lambda: raising(Boom()),
    "an HTTPException that is returned": NotFound,
}
STREAMED: dict[str, Callable[[], Any]] = {
    "a generator": rows,
    "a generator in a response": lambda: Response(rows()),
    "stream_with_context": lambda: Response(stream_with_context(rows())),
    "stream_template": lambda: flask.stream_template_string("{{ 'a' }}"),
    "a file": lambda: send_file(io.BytesIO(b"a"), "text/plain"),
    "call_on_close": with_call_on_close,
    "a class with an encoding of its own": lambda: OwnEncoding("a"),
    "a class with a close of its own": lambda: OwnClose("a"),
    "a list with code of its own": lambda: Response(OwnList("a")),
    "abort with a streamed response": lambda: abort(Response(rows(), 410)),
}


def app_with(app: Flask, ctx: WorkCtx, view: Callable[[], Any]) -> Flask:
    def index() -> Any:
        assert ctx.work
        return view()

    app.config["PROPAGATE_EXCEPTIONS"] = False
    app.logger.disabled = True
    app.add_url_rule("/", view_func=index)
    return app


@pytest.mark.parametrize("answer", ENDED)
def test_an_answer_that_is_not_streamed_has_ended_when_the_server_gets_it(
    app: Flask, ctx: WorkCtx, log: list[Any], answer: str
) -> None:
    server = Server(app_with(app, ctx, ENDED[answer]))
    assert len(server.started) == len(log) == 1
    assert type(server.body) is ClosingIterator, "the body is Flask's own"


@pytest.mark.parametrize("answer", STREAMED)
def test_a_streamed_answer_keeps_its_scope_until_it_is_closed(
    app: Flask, ctx: WorkCtx, log: list[Any], answer: str
) -> None:
    server = Server(app_with(app, ctx, STREAMED[answer]))
    assert b"".join(server.body) == b"a"
    assert log == []
    server.body.close()
    assert log == ["done for nobody"]


def test_what_an_after_request_function_returns_decides(app: Flask, ctx: WorkCtx, log: list[Any]) -> None:
    app_with(app, ctx, lambda: "a")

    @app.after_request
    def after(response: Response) -> Response:
        return Response(rows()) if "stream" in flask.request.args else response

    Server(app)
    assert log.pop() == "done for nobody"
    streamed = Server(app, "/?stream=1")
    assert log == []
    streamed.body.close()
    assert log == ["done for nobody"]


def test_where_werkzeug_has_no_list_of_functions_to_call_on_close_it_ends_as_a_stream(
    app: Flask, ctx: WorkCtx, log: list[Any]
) -> None:
    class Newer(Response):
        @property
        def _on_close(self) -> Any:
            raise AttributeError

        @_on_close.setter
        def _on_close(self, value: Any) -> None: ...

        def close(self) -> None: ...

    server = Server(app_with(app, ctx, lambda: Newer("a")))
    assert log == []
    server.body.close()
    assert log == ["done for nobody"]


# Where in Flask's end


def test_it_ends_after_the_applications_teardown_functions_and_inside_its_context(app: Flask, ctx: WorkCtx) -> None:
    class Resource(RequestContext):
        @per_request
        def name(self) -> Iterator[str]:
            yield "name"
            seen.append(f"rest in {current_app.name}")
            flask.g.closed = True

    resource = Resource()
    TLCtx(app, resource, name="resource")
    seen: list[str] = []
    app.teardown_request(lambda _: seen.append(f"request {resource.name} {ctx.user}"))
    app.teardown_appcontext(lambda _: seen.append(f"app context {resource.name} {ctx.user}"))
    app.add_url_rule("/", view_func=lambda: resource.name)
    Server(app)
    assert seen == ["request name nobody", "app context name nobody", "rest in notes"]


def test_an_app_context_of_a_teardown_function_ends_nothing_of_the_request(app: Flask, ctx: WorkCtx) -> None:
    seen: list[str] = []

    @app.teardown_appcontext
    def first(_: object) -> None:
        if not seen:
            seen.append(ctx.user)
            with app.app_context():
                seen.append(ctx.user)
            seen.append(ctx.user)

    app_with(app, ctx, lambda: "a")
    Server(app, HTTP_X_USER="ann")
    assert seen == ["ann"] * 3


def test_of_a_request_inside_an_app_context_it_ends_with_the_request(app: Flask, ctx: WorkCtx, log: list[Any]) -> None:
    app_with(app, ctx, lambda: "a")
    with app.app_context():
        ctx.user = "script"
        Server(app, HTTP_X_USER="ann")
        assert log == ["done for ann"]
        assert ctx.user == "script"


def test_after_it_middleware_inside_of_ours_reads_nothing_any_more(app: Flask, ctx: WorkCtx) -> None:
    inner = app_with(Flask("inner"), ctx, lambda: "a")
    flasks_own = inner.wsgi_app

    def middleware(environ: Any, start_response: Any) -> Any:
        body = flasks_own(environ, start_response)
        with pytest.raises(RequestEndedError):
            _ = ctx.user
        return body

    inner.wsgi_app = middleware  # type: ignore[method-assign]
    TLCtx(inner, ctx)
    Server(inner)


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
