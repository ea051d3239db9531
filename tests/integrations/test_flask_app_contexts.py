"""Flask: commands, the shell and app contexts outside a request have a scope."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import flask
import pytest
from flask import Flask, g
from support.flask_app import WorkCtx, raised_in_a_teardown
from support.helpers import PATIENCE, Boom

from tlctx import RequestContext, Scope
from tlctx.flask import TLCtx

WAYS_OUT = [ZeroDivisionError, SystemExit, KeyboardInterrupt]


def test_an_app_context_outside_a_request_has_a_scope(app: Flask, ctx: WorkCtx, log: list[Any]) -> None:
    with app.app_context():
        assert ctx.work == "work of nobody"
        ctx.user = "script"
        with app.app_context():
            assert ctx.user == "script"
        assert log == []
        app.add_url_rule("/", view_func=lambda: ctx.user)
        assert app.test_client().get("/", headers={"X-User": "ann"}).text == "ann"
        assert ctx.user == "script"
    assert log == ["done for script"]
    with app.test_request_context("/"):
        assert ctx.user == "nobody"


@pytest.mark.parametrize("error", [Boom, *WAYS_OUT])
def test_it_learns_of_the_exception_that_ends_it(
    app: Flask, ctx: WorkCtx, log: list[Any], error: type[BaseException]
) -> None:
    with pytest.raises(error), app.app_context():
        assert ctx.work
        raise error
    assert log == [error.__name__]


def test_a_command_has_one(app: Flask, ctx: WorkCtx, log: list[Any]) -> None:
    @app.cli.command("greet")
    def greet() -> None:
        print(ctx.work)  # noqa: T201

    runner = app.test_cli_runner()
    assert runner.invoke(args=["greet"]).output == "work of nobody\n"
    assert log == ["done for nobody"]


def test_the_shell_has_one(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(
        "from flask import Flask\nfrom tlctx import ctx\nfrom tlctx.flask import TLCtx\n"
        "app = Flask('shop')\nTLCtx(app)\n"
        "app.shell_context_processor(lambda: {'ctx': ctx})\n"
    )
    shell = subprocess.run(
        [sys.executable, "-m", "flask", "--app", "shop", "shell"],
        input="ctx.user = 'ann'\nprint('this is', ctx.user, repr(ctx))\n",
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    assert "this is ann <AnyContext in scope #1: user>" in shell.stdout


def test_inside_a_request_an_app_context_joins_the_requests_scope(app: Flask, ctx: WorkCtx, log: list[Any]) -> None:
    @app.get("/")
    def index() -> str:
        with app.app_context():
            inner = ctx.work
        assert log == []
        return inner

    assert app.test_client().get("/", headers={"X-User": "ann"}).text == "work of ann"
    assert log == ["done for ann"]


def test_a_block_with_the_client_leaves_nothing_open(app: Flask, ctx: WorkCtx, log: list[Any]) -> None:
    @app.get("/")
    def index() -> str:
        g.kept = ctx.user
        return ctx.work

    with app.test_client() as client:
        for user in ("ann", "bob"):
            client.get("/", headers={"X-User": user})
            assert g.kept == user
            assert log.pop() == f"done for {user}"
            assert ctx.user == user
    assert Scope.current(ctx) is None


@pytest.mark.parametrize("raised", WAYS_OUT)
def test_a_teardown_function_that_raises_leaves_no_app_contexts_scope_open(
    app: Flask, ctx: WorkCtx, log: list[Any], raised: type[BaseException]
) -> None:
    other_log: list[Any] = []
    other = WorkCtx(other_log)
    TLCtx(app, other, name="other")

    @app.teardown_appcontext
    def fail(error: BaseException | None) -> None:
        raise raised

    with raised_in_a_teardown(raised), app.app_context():
        assert ctx.work
        assert other.work
        ctx.callback(other_log.append, "closed")
    assert log[0] in (raised.__name__, "ExceptionGroup", "BaseExceptionGroup")  # the latter since Flask 3.2
    assert (log, other_log) == ([log[0]], ["closed", log[0]])
    assert Scope.current(ctx) is Scope.current(other) is None


@pytest.mark.parametrize("raised", [Boom, SystemExit, KeyboardInterrupt])
def test_of_two_contexts_both_are_closed_though_the_teardown_of_both_raises(
    app: Flask, ctx: WorkCtx, raised: type[BaseException]
) -> None:
    other = WorkCtx([])
    TLCtx(app, other, name="other")

    def fail() -> None:
        raise raised

    with raised_in_a_teardown(raised), app.app_context():
        ctx.callback(fail)
        other.callback(fail)
    assert Scope.current(ctx) is Scope.current(other) is None


@pytest.mark.parametrize("raised", WAYS_OUT)
def test_an_init_that_raises_leaves_no_app_context_behind(raised: type[BaseException]) -> None:
    class Fails(RequestContext):
        def __init__(self) -> None:
            raise raised

    app = Flask("fails")
    TLCtx(app, Fails())
    with pytest.raises(raised), app.app_context():
        pass
    assert not flask.has_app_context()
