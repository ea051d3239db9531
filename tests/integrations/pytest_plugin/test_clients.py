"""The client of a WSGI application."""

from __future__ import annotations

import sys

import pytest
from support.pytest_runs import CONFTEST, Run


def test_an_application_without_the_middleware_is_wrapped_in_it(run: Run) -> None:
    run(
        """
        def test_client(tlctx_client):
            response = tlctx_client.get("/")
            assert response.text == "stranger has the real one"
            assert Scope.current(ctx) is None
        """
    ).assert_outcomes(passed=1)


@pytest.mark.parametrize(
    "served",
    [
        "ProxyFix(functools.partial(log(Framework().serve)))",
        *(pytest.param(each, marks=pytest.mark.servers) for each in ("inner", "ProxyFix(inner)", "log(inner)")),
    ],
)
def test_one_that_has_the_middleware_inside_is_called_as_it_is(run: Run, served: str) -> None:
    run(
        f"""
        import functools
        from werkzeug.middleware.proxy_fix import ProxyFix

        def log(app):
            def logged(environ, start_response):
                return app(environ, start_response)
            return logged

        class Framework:
            def __init__(self):
                self.application = inner

            def serve(self, environ, start_response):
                return self.application(environ, start_response)

        inner = ContextMiddleware(app, ctx, lambda environ: {{"user": environ["HTTP_X_USER"]}})

        @pytest.fixture
        def tlctx_app():
            return {served}

        def test_client(tlctx_client):
            assert tlctx_client.get("/", headers={{"X-User": "ann"}}).text == "ann has the real one"
        """
    ).assert_outcomes(passed=1)


def test_the_fixture_named_app_is_the_application_and_one_of_flask_has_its_own_client(run: Run) -> None:
    run(
        """
        from flask import Flask
        from flask.testing import FlaskClient
        from tlctx.flask import TLCtx

        class Client(FlaskClient): ...

        @pytest.fixture
        def app():
            app = Flask("shop")
            app.test_client_class = Client
            TLCtx(app, ctx, lambda environ: {"user": environ["HTTP_X_USER"]})
            app.add_url_rule("/", view_func=lambda: f"{ctx.user} has {ctx.basket}")
            return app

        def test_client(tlctx_client):
            assert type(tlctx_client) is Client
            assert tlctx_client.get("/", headers={"X-User": "ann"}).text == "ann has ['the real one']"
        """,
        conftest=CONFTEST.partition("@pytest.fixture\n    def tlctx_app")[0],
    ).assert_outcomes(passed=1)


@pytest.mark.servers
def test_an_application_of_bottle_is_wrapped(run: Run) -> None:
    pytest.importorskip("bottle", reason="needs bottle")
    run(
        """
        @pytest.fixture
        def tlctx_app():
            import bottle
            app = bottle.Bottle()
            app.route("/", callback=lambda: ctx.user)
            return app

        def test_client(tlctx_client, tlctx_override):
            assert tlctx_client.get("/").text == "stranger"
            tlctx_override(user="ann")
            assert tlctx_client.get("/").text == "ann"
        """
    ).assert_outcomes(passed=1)


def test_a_body_that_the_client_has_read_is_closed_and_one_that_it_closes_too(run: Run) -> None:
    run(
        """
        closed = []

        def stream(environ, start_response):
            ctx.callback(closed.append, environ["PATH_INFO"])
            yield from app(environ, start_response)

        @pytest.fixture
        def tlctx_app():
            return stream

        def test_client(tlctx_client):
            response = tlctx_client.get("/read")
            assert closed == []
            assert response.text
            assert closed == ["/read"]
            response.close()
            unread = tlctx_client.get("/closed")
            unread.close()
            assert closed == ["/read", "/closed"]
        """
    ).assert_outcomes(passed=1)


@pytest.mark.servers
def test_the_client_is_werkzeugs_or_that_of_webtest_where_only_this_is_installed(
    run: Run, monkeypatch: pytest.MonkeyPatch, pytester: pytest.Pytester
) -> None:
    tests = """
        def test_client(tlctx_client):
            assert tlctx_client.app({}, lambda *_: None)
    """
    monkeypatch.setitem(sys.modules, "werkzeug.test", None)
    monkeypatch.setitem(sys.modules, "webtest", None)
    result = run(tests)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*tlctx_client needs werkzeug or WebTest: install one of them*"])
    monkeypatch.delitem(sys.modules, "webtest")
    pytester.makepyfile(webtest="class TestApp:\n    def __init__(self, app): self.app = app\n")
    run(tests).assert_outcomes(passed=1)


@pytest.mark.servers
def test_without_an_application_and_with_something_else_an_error_says_what_to_do(run: Run) -> None:
    without = CONFTEST.partition("@pytest.fixture\n    def tlctx_app")[0]
    result = run(
        """
        def test_client(tlctx_client): ...

        class TestOther:
            @pytest.fixture
            def app(self):
                return "no application"

            def test_client(self, tlctx_client): ...

        class TestBroken:
            @pytest.fixture
            def app(self, nonsense): ...

            def test_client(self, tlctx_client): ...
        """,
        conftest=without,
    )
    result.assert_outcomes(errors=3)
    result.stdout.fnmatch_lines(
        [
            "*have a fixture `tlctx_app`, or `app`, return it*", "*a WSGI application, a callable, not str*",
            "*fixture 'nonsense' not found*",
        ],
    )  # fmt: skip
