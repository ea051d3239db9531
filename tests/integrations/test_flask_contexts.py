"""Flask: wherever a request's context is pushed again, there is a scope with the values that were assigned."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import flask
import pytest
from flask import Flask, Response, g, stream_with_context
from flask.ctx import AppContext
from flask.signals import appcontext_pushed
from support.flask_app import WorkCtx
from support.helpers import Boom, in_thread

from tlctx import OutsideRequestError, RequestContext, Scope, per_request
from tlctx.flask import TLCtx

ANN = {"X-User": "ann"}


pytestmark = pytest.mark.usefixtures("no_scope_is_left")


# The test client's block


def test_in_a_block_with_the_client_the_values_are_those_of_the_last_request(
    app: Flask, ctx: WorkCtx, log: list[Any]
) -> None:
    @app.get("/<word>")
    def index(word: str) -> str:
        ctx.word = g.word = word
        return ctx.work

    with app.test_client() as client:
        for user, word in (("ann", "pears"), ("bob", "figs")):
            client.get(f"/{word}", headers={"X-User": user})
            assert log.pop() == f"done for {user}", "the teardown runs at the request's end, as in production"
            assert (ctx.user, ctx.word, g.word) == (user, word, word)
            assert flask.request.path == f"/{word}"
        assert log == []
    with pytest.raises(OutsideRequestError):
        _ = ctx.user


def test_there_a_per_request_value_is_made_anew_and_closed_when_flask_pops_the_context(
    app: Flask, ctx: WorkCtx, log: list[Any]
) -> None:
    app.add_url_rule("/", view_func=lambda: ctx.work)
    with app.test_client() as client:
        client.get("/", headers=ANN)
        assert log.pop() == "done for ann"
        assert "work" not in ctx
        assert ctx.work == "work of ann"
        ctx.callback(lambda: log.append(flask.current_app.name))
        client.get("/", headers={"X-User": "bob"})
        assert log == ["notes", "done for ann", "done for bob"]
        assert ctx.user == "bob"
        assert ctx.work == "work of bob"
    assert log[3:] == ["done for bob"]


def test_a_value_that_was_assigned_in_the_place_of_a_per_request_one_is_there(app: Flask, ctx: WorkCtx) -> None:
    class Shop(RequestContext):
        @per_request
        def db(self) -> Any:
            return object()

        @per_request
        def other(self) -> Any:
            return object()

    shop = Shop()
    TLCtx(app, shop, name="shop")
    fake = object()

    @app.get("/")
    def index() -> str:
        made.append((shop.db, shop.other))
        shop.db = fake
        return ""

    made: list[Any] = []
    with app.test_client() as client:
        client.get("/")
        assert shop.db is fake
        assert shop.other is not made[0][1]


@pytest.mark.parametrize("with_context", [False, True], ids=["plain", "stream_with_context"])
def test_in_a_block_with_the_client_a_stream_goes_on_in_its_own_scope(
    app: Flask, ctx: WorkCtx, log: list[Any], *, with_context: bool
) -> None:
    @app.get("/")
    def index() -> Any:
        def rows() -> Iterator[str]:
            for _ in range(2):
                yield f"{ctx.work}, {ctx.word}; "

        ctx.word = "word"
        return Response(stream_with_context(rows()) if with_context else rows())

    with app.test_client() as client:
        answer = client.get("/", headers=ANN)
        assert (ctx.user, ctx.word) == ("ann", "word")
        ctx.word = "of the test"
        assert answer.text == "work of ann, word; work of ann, word; "
        answer.close()
        assert log == ["done for ann"]
        assert (ctx.user, ctx.word) == ("ann", "of the test")


def test_an_outer_app_context_keeps_its_scope(app: Flask, ctx: WorkCtx) -> None:
    app.add_url_rule("/", view_func=lambda: ctx.user)
    with app.app_context():
        ctx.user = "script"
        with app.test_client() as client:
            client.get("/", headers=ANN)
            assert ctx.user == "ann"
        assert ctx.user == "script"


def test_a_session_transaction_has_a_scope_of_its_own(app: Flask, ctx: WorkCtx) -> None:
    app.secret_key = "secret"
    app.add_url_rule("/", view_func=lambda: f"{flask.session['word']} {ctx.user}")
    with app.test_client() as client:
        with client.session_transaction() as session:
            session["word"] = "kept"
        assert client.get("/", headers=ANN).text == "kept ann"
        assert ctx.user == "ann"


# Request contexts by hand


def test_a_test_request_context_is_a_request_also_inside_an_app_context(
    app: Flask, ctx: WorkCtx, log: list[Any]
) -> None:
    with app.app_context():
        ctx.word = "of the package"
        for user in ("ann", "bob"):
            with app.test_request_context(headers={"X-User": user}):
                assert ctx.user == user
                assert "word" not in ctx
                ctx.word = user
                assert ctx.work
            assert log.pop() == f"done for {user}"
        assert (ctx.user, ctx.word) == ("nobody", "of the package")


def test_a_test_request_context_ends_inside_the_app_context_and_learns_of_an_exception(
    app: Flask, ctx: WorkCtx, log: list[Any]
) -> None:
    with pytest.raises(Boom), app.test_request_context():
        ctx.callback(lambda: log.append(flask.current_app.name))
        assert ctx.work
        raise Boom
    assert log == ["Boom", "notes"]


@pytest.mark.parametrize("raised", [Boom, SystemExit])
def test_an_initialize_that_raises_leaves_no_context_behind(raised: type[BaseException]) -> None:
    app, first, second = Flask("fails"), WorkCtx([]), WorkCtx([])
    TLCtx(app, first)

    def initialize(environ: Any) -> Any:
        raise raised

    TLCtx(app, second, initialize, name="second")
    with pytest.raises(raised), app.test_request_context():
        pass
    assert not flask.has_app_context()
    assert Scope.current(first) is Scope.current(second) is None


def test_a_request_of_one_app_is_dispatched_in_a_test_request_context(app: Flask, ctx: WorkCtx, log: list[Any]) -> None:
    app.add_url_rule("/", view_func=lambda: ctx.work)
    with app.test_request_context(headers=ANN):
        dispatch: Any = app.full_dispatch_request
        context = flask.globals.app_ctx._get_current_object()  # type: ignore[attr-defined]
        response = dispatch(context) if hasattr(AppContext, "from_environ") else dispatch()
        assert response.get_data(as_text=True) == "work of ann"
        assert log == []
        assert ctx.user == "ann"
    assert log == ["done for ann"]


def test_a_scope_is_there_when_flask_says_that_an_app_context_was_pushed(app: Flask, ctx: WorkCtx) -> None:
    def pushed(_: object, **__: Any) -> None:
        ctx.user = "of the receiver"

    with appcontext_pushed.connected_to(pushed, app), app.app_context():
        assert ctx.user == "of the receiver"


def test_an_app_context_that_was_made_in_a_request_has_a_scope_of_its_own_in_another_thread(
    app: Flask, ctx: WorkCtx
) -> None:
    @app.get("/")
    def index() -> str:
        context = app.app_context()

        def job() -> str:
            with context:
                return ctx.user

        return f"{in_thread(job)} {ctx.user}"

    assert app.test_client().get("/", headers=ANN).text == "nobody ann"


def test_contexts_of_the_applications_own_stay_what_they_are(ctx: WorkCtx) -> None:
    class OwnContext(AppContext):
        word = "own"

    class Own(Flask):
        def app_context(self) -> Any:
            return OwnContext(self)

    app = Own("own")
    TLCtx(app, ctx)
    with app.app_context() as context:
        assert (context.word, type(context).__name__) == ("own", "OwnContext")
        assert isinstance(context, OwnContext)
        assert ctx.user == "nobody"
    app.add_url_rule("/", view_func=lambda: ctx.user)
    assert app.test_client().get("/").text == "nobody"


def test_a_request_context_that_was_popped_too_often_leaves_no_scope_when_pushed_again(
    app: Flask, ctx: WorkCtx
) -> None:
    with app.app_context():
        context = app.test_request_context(headers={"X-User": "ann"})
        outer = Scope.current(ctx)
        context.push()
        context.pop()
        with pytest.raises((LookupError, AssertionError, RuntimeError)):
            context.pop()
        context.push()
        inner = Scope.current(ctx)
        assert inner is not outer
        context.pop()
        assert Scope.current(ctx) is outer
        assert inner is not None
        assert inner.ended
