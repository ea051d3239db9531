"""Flask: what belongs to the application stays as it is."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import flask
import pytest
from flask import Flask, g, render_template_string
from flask.ctx import AppContext
from flask.testing import FlaskClient
from support.flask_app import WorkCtx, failing_app
from support.helpers import Boom
from werkzeug.exceptions import HTTPException

from tlctx import OutsideRequestError, RequestContext, counters
from tlctx.flask import TLCtx


class OwnClient(FlaskClient):
    """As Flask-Login's: it has an argument of its own."""

    def __init__(self, *args: Any, user: str = "nobody", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.environ_base["HTTP_X_USER"] = user


# The test client


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_test_client_of_ones_own_works_set_before_or_after(ctx: WorkCtx, when: str) -> None:
    app = Flask("own client")
    app.test_client_class = OwnClient if when == "before" else None
    TLCtx(app, ctx, lambda environ: {"user": environ["HTTP_X_USER"]})
    app.test_client_class = OwnClient
    app.add_url_rule("/", view_func=lambda: ctx.user)
    client = app.test_client(user="ann")
    assert type(client) is OwnClient
    assert client.get("/").text == "ann"


def test_the_test_client_is_flasks_own(app: Flask) -> None:
    assert app.test_client_class is None
    assert type(app.test_client()) is FlaskClient


def test_an_endless_stream_is_taken_bit_by_bit(app: Flask, ctx: WorkCtx, log: list[Any]) -> None:
    @app.get("/")
    def index() -> Any:
        return (f"{number} {ctx.work};" for number in itertools.count())

    answer = app.test_client().get("/", headers={"X-User": "ann"})
    assert list(itertools.islice(answer.iter_encoded(), 2)) == [b"0 work of ann;", b"1 work of ann;"]
    assert log == []
    answer.close()
    assert log == ["done for ann"]


def test_a_stream_that_a_test_reads_and_forgets_is_not_reported(
    app: Flask, ctx: WorkCtx, log: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    @app.get("/")
    def index() -> Iterator[str]:
        yield ctx.work
        yield "."

    before = counters()
    assert app.test_client().get("/").text == "work of nobody."
    assert log == ["done for nobody"]
    assert counters() == before
    assert caplog.records == []


# flask.g


def test_nothing_of_ours_is_in_flask_g(app: Flask, ctx: WorkCtx) -> None:
    seen: list[Any] = []

    @app.get("/")
    def index() -> str:
        seen.append(list(g))
        return ctx.work

    app.teardown_appcontext(lambda _: seen.append(list(g)))
    app.test_client().get("/")
    with app.app_context():
        assert ctx.work
        seen.append(list(g))
    assert seen == [[]] * 4


def test_nothing_is_asked_of_flask_g(app: Flask, ctx: WorkCtx, log: list[Any]) -> None:
    class Bare:
        __slots__ = ()

    app.app_ctx_globals_class = Bare  # type: ignore[assignment]
    app.add_url_rule("/", view_func=lambda: ctx.work)
    assert app.test_client().get("/").text == "work of nobody"
    with app.app_context():
        assert ctx.work
    assert log == ["done for nobody"] * 2
    with pytest.raises(OutsideRequestError):
        _ = ctx.user


# Templates and the shell


def test_the_environment_of_templates_is_made_when_the_application_first_asks(ctx: WorkCtx) -> None:
    app = Flask("templates")
    TLCtx(app, ctx)
    assert "jinja_env" not in vars(app)
    app.config["TEMPLATES_AUTO_RELOAD"] = True
    app.jinja_options = {"variable_start_string": "<<", "variable_end_string": ">>"}
    app.add_url_rule("/", view_func=lambda: render_template_string("<< ctx.user >>"))
    assert app.test_client().get("/").text == "nobody"
    assert app.jinja_env.auto_reload


def test_one_that_was_made_before_gets_the_context_too(ctx: WorkCtx) -> None:
    app = Flask("templates")
    app.jinja_env.globals["word"] = "word"
    TLCtx(app, ctx)
    app.add_url_rule("/", view_func=lambda: render_template_string("{{ word }} {{ ctx.user }}"))
    assert app.test_client().get("/").text == "word nobody"
    assert "create_jinja_environment" not in vars(app)


def test_two_contexts_reach_templates_and_the_shell_under_names_of_their_own(app: Flask, ctx: WorkCtx) -> None:
    class Tenant(RequestContext):
        name: str = "acme"

    tenant, account = Tenant(), Tenant()
    TLCtx(app, tenant, name="tenant")
    TLCtx(app, account, name="account")
    app.add_url_rule("/", view_func=lambda: render_template_string("{{ ctx.user }} at {{ tenant.name }}"))
    assert app.test_client().get("/", headers={"X-User": "ann"}).text == "ann at acme"
    with app.app_context():
        shell = app.make_shell_context()
    assert shell["ctx"] is ctx
    assert shell["tenant"] is tenant
    assert shell["account"] is account


def test_a_name_that_is_taken_is_refused_and_nothing_was_done(app: Flask, ctx: WorkCtx) -> None:
    before = dict(vars(app))
    with pytest.raises(RuntimeError, match=r"has a context named 'ctx' already: .* TLCtx\(app, ctx, name=\.\.\.\)"):
        TLCtx(app, WorkCtx([]))
    with pytest.raises(RuntimeError, match="has a context named 'ctx' already"):
        TLCtx(app, WorkCtx([]), name="".join(["c", "t", "x"]))
    assert vars(app) == before
    assert app.extensions["tlctx"] == [app.extensions["tlctx"][0]]


# Flask's methods, as its newer versions call them


class Newer(Flask):
    """Calls what takes a context with the context first, as Flask does from 3.2 on."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.seen: list[str] = []

    def handle_user_exception(self, ctx: AppContext, *args: Any) -> Any:  # type: ignore[override]
        """Handle the exception."""
        return super().handle_user_exception(*self._known("handle_user_exception", ctx, args))

    def finalize_request(self, ctx: AppContext, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        """Finalize the response."""
        return super().finalize_request(*self._known("finalize_request", ctx, args), **kwargs)

    def do_teardown_appcontext(self, ctx: AppContext, *args: Any) -> None:  # type: ignore[override]
        """Tear down the app context."""
        super().do_teardown_appcontext(*self._known("do_teardown_appcontext", ctx, args))

    def _known(self, name: str, ctx: AppContext, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments for the version that is installed."""
        assert isinstance(ctx, AppContext), name
        self.seen.append(name)
        return (ctx, *args) if hasattr(AppContext, "from_environ") else args


def newer(ctx: WorkCtx) -> Newer:
    app = Newer("newer")
    TLCtx(app, ctx)
    for name in ("handle_user_exception", "finalize_request", "do_teardown_appcontext"):
        if not hasattr(AppContext, "from_environ"):
            setattr(app, name, with_context_first(getattr(app, name)))
    return app


def with_context_first(method: Any) -> Any:
    def call(*args: Any, **kwargs: Any) -> Any:
        return method(flask.globals.app_ctx._get_current_object(), *args, **kwargs)  # type: ignore[attr-defined]

    return call


def test_the_context_may_come_first_in_the_calls_that_flask_makes(ctx: WorkCtx, log: list[Any]) -> None:
    app = newer(ctx)
    app.errorhandler(Boom)(lambda error: ("sorry", 500))
    app.logger.disabled = True
    client = failing_app(app, ctx)
    assert [client.get(f"/{kind}").status_code for kind in ("boom", "404", "503", "returned", "key")] == [
        500, 404, 503, 500, 500,
    ]  # fmt: skip
    assert log == ["Boom", "done for nobody", "ServiceUnavailable", "done for nobody", "KeyError"]
    assert set(app.seen) == {"handle_user_exception", "finalize_request", "do_teardown_appcontext"}


def test_methods_of_such_an_application_keep_their_names(ctx: WorkCtx) -> None:
    app = Newer("newer")
    TLCtx(app, ctx)
    for name in ("handle_user_exception", "finalize_request", "do_teardown_appcontext"):
        assert (getattr(app, name).__name__, getattr(app, name).__doc__) == (name, getattr(Newer, name).__doc__)


def test_an_exception_that_answers_for_itself_is_answered_as_flask_does(app: Flask, ctx: WorkCtx) -> None:
    class Teapot(HTTPException):
        code = 418
        description = "short and stout"

    def view() -> str:
        raise Teapot

    bare = Flask("bare")
    answers = []
    for each in (app, bare):
        each.add_url_rule("/", view_func=view)
        answer = each.test_client().get("/")
        answers.append((answer.status, answer.data, list(answer.headers)))
    assert answers[0] == answers[1]
