"""Flask: an error that says which context is missing on which application."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from support.flask_app import WorkCtx
from support.helpers import in_thread, run_program

from tlctx import OutsideRequestError
from tlctx.flask import TLCtx
from tlctx.lowlevel import explanations

USES: dict[str, Callable[[WorkCtx], Any]] = {
    "reading": lambda ctx: ctx.user,
    "writing": lambda ctx: setattr(ctx, "user", "ann"),
    "per_request": lambda ctx: ctx.work,
    "looking": lambda ctx: "user" in ctx,
    "callback": lambda ctx: ctx.callback(print),
    "get": lambda ctx: ctx.get("user"),
}


def error_in(app: Flask, use: Callable[[], Any]) -> str:
    def index() -> str:
        with pytest.raises(OutsideRequestError) as caught:
            use()
        return str(caught.value)

    app.add_url_rule("/", view_func=index)
    return app.test_client().get("/").text


@pytest.mark.parametrize("use", USES)
def test_a_context_that_is_not_installed_is_named_with_the_application(use: str) -> None:
    text = error_in(Flask("shop"), lambda: USES[use](WorkCtx([])))
    assert (
        "where no request of this WorkCtx is running: it is not installed on <Flask 'shop'>, which runs here." in text
    )
    assert "TLCtx(app, ctx)" in text


def test_another_context_of_the_application_is_named_too(app: Flask) -> None:
    text = error_in(app, lambda: WorkCtx([]).user)
    assert "it is not installed on <Flask 'notes'>, which runs here with WorkCtx." in text


def test_where_it_is_installed_or_no_application_runs_the_error_is_the_usual_one(app: Flask, ctx: WorkCtx) -> None:
    assert "where no request is running: a context holds" in error_in(app, lambda: in_thread(lambda: ctx.user))
    with pytest.raises(OutsideRequestError, match="where no request is running: a context holds"):
        _ = ctx.user


def test_a_program_that_never_imported_the_integration_is_told_too() -> None:
    program = """
        import sys
        from flask import Flask
        from tlctx import ctx
        app = Flask("shop")
        with app.app_context():
            try:
                ctx.user
            except RuntimeError as error:
                print(error)
        print("tlctx.flask" in sys.modules)
    """
    text, imported = run_program(program).splitlines()
    assert "no request of this AnyContext is running: it is not installed on <Flask 'shop'>" in text
    assert imported == "False"


def test_an_integration_may_add_an_explanation(ctx: WorkCtx) -> None:
    def explain(context: Any) -> str | None:
        return "the queue has no worker" if context is ctx else None

    explanations.append(explain)
    try:
        with pytest.raises(OutsideRequestError, match="no request of this WorkCtx is running: the queue has no worker"):
            _ = ctx.user
    finally:
        explanations.remove(explain)


def test_arguments_that_are_swapped_are_told(ctx: WorkCtx) -> None:
    app: Any = Flask("shop")
    wrong: Any = ctx
    with pytest.raises(TypeError, match=r"the application comes first: TLCtx\(app, ctx\)"):
        TLCtx(wrong, app)
