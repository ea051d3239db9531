"""Flask: a request ends before its answer goes out, unless that is streamed."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import flask
import pytest
from flask import Flask, Response, abort, current_app, redirect, send_file, stream_with_context
from support.flask_app import Server, WorkCtx, app_with, rows
from support.helpers import Boom, raising
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response as WerkzeugResponse
from werkzeug.wsgi import ClosingIterator

from tlctx import ContextMiddleware, RequestContext, RequestEndedError, per_request
from tlctx.flask import TLCtx


class OwnEncoding(Response):
    def iter_encoded(self) -> Any:
        return iter([b"a"])


class OwnClose(Response):
    def close(self) -> None:
        super().close()


class OwnList(list[str]):
    pass


class EqualsAll:
    """A body of the application's own that says that it equals whatever it is compared with."""

    __hash__ = object.__hash__

    def __iter__(self) -> Iterator[str]:
        return rows()

    def __eq__(self, other: object) -> bool:
        return True


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
    "a body that equals all": lambda: Response(EqualsAll()),
    "abort with a streamed response": lambda: abort(Response(rows(), 410)),
}


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


def test_where_flasks_own_class_has_no_such_list_it_ends_as_a_stream_too(
    app: Flask, ctx: WorkCtx, log: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WerkzeugResponse, "close", lambda response: None)

    @app.after_request
    def after(response: Response) -> Response:
        del response._on_close
        return response

    server = Server(app_with(app, ctx, lambda: "a"))
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


@pytest.mark.parametrize("joined", [False, True], ids=["its own", "joined"])
def test_a_second_context_ends_inside_the_app_context_whatever_the_first_one_does(
    ctx: WorkCtx, *, joined: bool
) -> None:
    app, other = Flask("two"), WorkCtx([])
    TLCtx(app, ctx)
    TLCtx(app, other, name="other")
    seen: list[bool] = []

    @app.get("/")
    def index() -> str:
        other.callback(lambda: seen.append(flask.has_app_context()))
        return ctx.user

    Server(ContextMiddleware(app, ctx) if joined else app)
    assert seen == [True]


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
