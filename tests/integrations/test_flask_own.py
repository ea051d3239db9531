"""Flask: applications that have methods and contexts of their own, and contexts that are made and pushed by hand."""

from __future__ import annotations

import contextvars
import traceback
from typing import Any

import flask
import pytest
from flask import Flask, copy_current_request_context
from flask.ctx import AppContext
from flask.signals import appcontext_pushed
from support.flask_app import Server, WorkCtx, app_with, raised_in_a_teardown
from support.flask_merged import IS_MERGED
from support.helpers import Boom, in_thread, raising

from tlctx import ContextMiddleware, RequestContext, Scope
from tlctx.flask import TLCtx

ANN = {"X-User": "ann"}
OwnRequestContextBase: Any = AppContext if IS_MERGED else flask.ctx.RequestContext
pytestmark = pytest.mark.usefixtures("no_scope_is_left")


class OwnAppContext(AppContext):
    word = "own"


class OwnRequestContext(OwnRequestContextBase):  # type: ignore[misc]
    word = "own"


class Own(Flask):
    """Makes contexts of its own."""

    def app_context(self) -> Any:
        """Make an app context."""
        return OwnAppContext(self)

    def request_context(self, environ: Any) -> Any:
        """Make a request's."""
        return OwnRequestContext.from_environ(self, environ) if IS_MERGED else OwnRequestContext(self, environ)


@pytest.fixture
def own(ctx: WorkCtx) -> Flask:
    app = Own("own")
    TLCtx(app, ctx, lambda environ: {"user": environ.get("HTTP_X_USER", "nobody")})
    return app


def request_context_now() -> Any:
    current: Any = flask.globals.app_ctx if IS_MERGED else flask.globals.request_ctx
    return current._get_current_object()


# Of the application's own


def test_the_applications_own_request_context_stays_what_it_is(own: Flask, ctx: WorkCtx, log: list[Any]) -> None:
    def view() -> str:
        context = request_context_now()
        assert isinstance(context, OwnRequestContext)
        return f"{context.word} {ctx.user}"

    server = Server(app_with(own, ctx, view), HTTP_X_USER="ann")
    assert (b"".join(server.body), log) == (b"own ann", ["done for ann"])
    with own.test_request_context(headers=ANN) as context:
        assert (context.word, ctx.user) == ("own", "ann")  # type: ignore[attr-defined]


def test_two_contexts_are_of_one_class(own: Flask) -> None:
    assert type(own.app_context()) is type(own.app_context())
    assert type(own.test_request_context()) is type(own.test_request_context())


def test_methods_of_the_applications_own_keep_their_names(own: Flask) -> None:
    for name in ("app_context", "request_context"):
        method = getattr(Own, name)
        assert (getattr(own, name).__name__, getattr(own, name).__doc__) == (name, method.__doc__)


def test_in_an_application_of_ones_own_a_handled_exception_ends_the_request(
    own: Flask, ctx: WorkCtx, log: list[Any]
) -> None:
    server = Server(app_with(own, ctx, lambda: raising(Boom())))
    assert server.started[0][0] == "500 INTERNAL SERVER ERROR"
    assert log == ["Boom"]


# Pushed again


def test_a_context_that_is_pushed_inside_itself_has_one_scope_of_each_ctx(app: Flask, ctx: WorkCtx) -> None:
    other = WorkCtx([])
    TLCtx(app, other, name="other")
    with app.app_context():
        context = app.test_request_context()
        with context:
            ctx.word, other.word = "of one", "of the other"
            scopes = (Scope.current(ctx), Scope.current(other))
            with context:
                assert (ctx.word, other.word) == ("of one", "of the other")
            assert (Scope.current(ctx), Scope.current(other)) == scopes
        assert "word" not in ctx
        assert "word" not in other
    assert Scope.current(other) is None


@pytest.mark.parametrize("raised", [Boom, SystemExit])
def test_a_teardown_function_that_raises_leaves_no_scope_open_inside_an_app_context(
    app: Flask, ctx: WorkCtx, log: list[Any], raised: type[BaseException]
) -> None:
    app.teardown_request(lambda _: raising(raised()))
    with app.app_context():
        ctx.user = "script"
        with raised_in_a_teardown(raised), app.test_request_context(headers=ANN):
            assert ctx.work == "work of ann"
        assert len(log) == 1
        assert "done" not in log[0]
        assert ctx.user == "script"


def test_who_is_told_of_an_app_context_that_is_pushed_again_finds_the_values(app: Flask, ctx: WorkCtx) -> None:
    seen: list[str] = []
    app.add_url_rule("/", view_func=lambda: ctx.user)

    def pushed(_: object, **__: Any) -> None:
        seen.append(ctx.user)

    with appcontext_pushed.connected_to(pushed, app), app.test_client() as client:
        client.get("/", headers=ANN)
        assert set(seen) == {"ann"}  # how often Flask pushes one depends on its version


def test_an_app_context_around_a_block_with_the_client_gets_none_of_its_values(app: Flask, ctx: WorkCtx) -> None:
    app.add_url_rule("/", view_func=lambda: ctx.user)
    outer = app.app_context()
    with outer, app.test_client() as client:
        client.get("/", headers=ANN)
        assert ctx.user == "ann"
    with outer:
        assert ctx.user == "nobody"


def test_a_copy_that_is_made_of_a_context_that_is_over_has_its_values(app: Flask, ctx: WorkCtx) -> None:
    app.add_url_rule("/", view_func=lambda: setattr(ctx, "word", "pears") or "")  # type: ignore[func-returns-value]
    with app.test_client() as client:
        client.get("/", headers=ANN)
        context = request_context_now()
    assert Scope.current(ctx) is None
    with context.copy():
        assert (ctx.user, ctx.word) == ("ann", "pears")


def test_a_copy_of_a_copy_has_a_scope_of_its_own_on_the_requests_thread(app: Flask, ctx: WorkCtx) -> None:
    @app.get("/")
    def index() -> str:
        @copy_current_request_context
        def make() -> Any:
            return copy_current_request_context(lambda: setattr(ctx, "user", "bob"))

        make()()
        return ctx.user

    assert app.test_client().get("/", headers=ANN).text == "ann"


def test_a_context_made_of_the_environ_of_a_request_has_its_values_on_another_thread(app: Flask) -> None:
    class Equal(RequestContext):
        __hash__ = RequestContext.__hash__
        word: str

        def __eq__(self, other: object) -> bool:
            return True

    first, second = Equal(), Equal()
    TLCtx(app, first, name="first")
    TLCtx(app, second, name="second")

    @app.get("/")
    def index() -> str:
        first.word, second.word = "one", "two"
        environ = flask.request.environ

        def job() -> str:
            with app.request_context(environ):
                return f"{first.word} {second.word}"

        return in_thread(job)

    assert app.test_client().get("/").text == "one two"


def test_no_traceback_of_a_context_that_cannot_be_pushed_again_shows_the_values(ctx: WorkCtx) -> None:
    class Fails(RequestContext):
        fails = False

        def __init__(self) -> None:
            if self.fails:
                raise Boom

        word: str

    app, failing = Flask("fails"), Fails()
    TLCtx(app, failing)
    app.add_url_rule("/", view_func=lambda: setattr(failing, "word", "s3cret") or "")  # type: ignore[func-returns-value]
    with app.test_client() as client:
        client.get("/")
        context = request_context_now()
    Fails.fails = True
    with pytest.raises(Boom) as caught, context:
        pass
    frames = [frame for frame, _ in traceback.walk_tb(caught.tb) if frame.f_globals["__name__"].startswith("tlctx.")]
    shown = [str(frame.f_locals) for frame in frames]
    assert [each for each in shown if "s3cret" in each] == []


# Made before TLCtx came, and called by hand


def test_an_app_context_that_was_made_before_works_as_it_did(ctx: WorkCtx) -> None:
    app = Flask("before")
    context = app.app_context()
    TLCtx(app, ctx)
    with context:
        assert Scope.current(ctx) is None


def test_a_request_in_contexts_that_were_made_before_is_answered_without_a_scope(ctx: WorkCtx) -> None:
    app = Flask("before")
    app.add_url_rule("/", view_func=lambda: f"{Scope.current(ctx)}")
    outer, context = app.app_context(), app.test_request_context()
    TLCtx(app, ctx)
    with outer, context:
        dispatch: Any = app.full_dispatch_request
        response = dispatch(context) if IS_MERGED else dispatch()
        assert response.get_data(as_text=True) == "None"


def test_a_teardown_that_is_called_by_hand_runs_where_there_is_no_context(app: Flask, log: list[Any]) -> None:
    app.teardown_appcontext(log.append)
    teardown: Any = app.do_teardown_appcontext
    error = Boom()
    context = [app.app_context()] if IS_MERGED else []
    teardown(*context, None)
    teardown(*context, error)
    assert log == [None, error]


@pytest.mark.skipif(IS_MERGED, reason="Flask 3.2 takes no exception that it is not given")
def test_a_teardown_that_is_called_by_hand_learns_of_the_exception_that_is_handled(app: Flask, log: list[Any]) -> None:
    app.teardown_appcontext(log.append)
    error = Boom()
    try:
        raise error
    except Boom:
        app.do_teardown_appcontext()  # type: ignore[call-arg,unused-ignore]
    assert log == [error]


@pytest.mark.parametrize("raised", [None, Boom])
def test_a_request_that_joins_a_scope_leaves_no_context_variable_behind(
    ctx: WorkCtx, raised: type[BaseException] | None
) -> None:
    app = Flask("inside")
    app_with(app, ctx, lambda: "a" if raised is None else raising(raised()))
    TLCtx(app, ctx)
    app.config["PROPAGATE_EXCEPTIONS"] = True
    before = dict(contextvars.copy_context())
    try:
        Server(ContextMiddleware(app, ctx)).body.close()
    except Boom:
        assert raised is Boom
    else:
        assert raised is None
    assert dict(contextvars.copy_context()) == before
