"""Flask: an exception that Flask handled reaches the scope."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import StaticPool
from support.flask_app import WorkCtx, failing_app
from support.helpers import Boom

from tlctx import RequestContext, per_request
from tlctx.flask import TLCtx


def test_the_exception_behind_a_500_reaches_the_scope(app: Flask, ctx: WorkCtx, log: list[Any]) -> None:
    client = failing_app(app, ctx)
    assert client.get("/boom").status_code == 500
    assert client.get("/503").status_code == 503
    assert log == ["Boom", "ServiceUnavailable"]


def test_an_exception_that_a_handler_of_yours_answers_with_a_500_reaches_the_scope(
    app: Flask, ctx: WorkCtx, log: list[Any]
) -> None:
    @app.errorhandler(Boom)
    def on_boom(error: Boom) -> Any:
        return {"sorry": ctx.user}, 500

    app.errorhandler(500)(lambda error: ("sorry", 500))
    client = failing_app(app, ctx)
    assert client.get("/boom").json == {"sorry": "nobody"}
    assert client.get("/key").text == "sorry"
    assert log == ["Boom", "KeyError"]


def test_an_answer_below_500_is_no_failure(app: Flask, ctx: WorkCtx, log: list[Any]) -> None:
    app.errorhandler(KeyError)(lambda error: ("not found", 404))
    app.errorhandler(Boom)(lambda error: ("the client is gone", 499))
    client = failing_app(app, ctx)
    kinds = ("key", "404", "403", "returned", "boom")
    assert [client.get(f"/{kind}").status_code for kind in kinds] == [404, 404, 403, 500, 499]
    assert log == ["done for nobody"] * 5


def test_an_exception_that_flask_lets_through_reaches_it_too(app: Flask, ctx: WorkCtx, log: list[Any]) -> None:
    client = failing_app(app, ctx)
    app.config["PROPAGATE_EXCEPTIONS"] = True
    with pytest.raises(Boom):
        client.get("/boom")
    with pytest.raises(SystemExit):
        client.get("/exit")
    assert log == ["Boom", "SystemExit"]


def test_an_exception_in_an_after_request_function_reaches_it(app: Flask, ctx: WorkCtx, log: list[Any]) -> None:
    client = failing_app(app, ctx)

    @app.after_request
    def after(response: Any) -> Any:
        raise Boom

    assert client.get("/404").status_code == 500
    assert log == ["Boom"]


class SessionCtx(RequestContext):
    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @per_request
    def db(self) -> Iterator[Session]:
        with Session(self.engine) as session, session.begin():
            yield session


def test_a_session_commits_after_a_good_answer_and_rolls_back_on_a_500() -> None:
    engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    ctx = SessionCtx(engine)
    app = Flask("database")
    app.config["PROPAGATE_EXCEPTIONS"] = False
    TLCtx(app, ctx)

    @app.post("/<word>")
    def add(word: str) -> str:
        ctx.db.execute(text("INSERT INTO words VALUES (:word)"), {"word": word})
        if word == "bad":
            raise Boom
        return word

    @app.post("/async/<word>")
    async def add_async(word: str) -> str:
        return await asyncio.to_thread(add, word)

    with app.app_context():
        ctx.db.execute(text("CREATE TABLE words (word TEXT)"))
    client = app.test_client()
    assert [client.post(path).status_code for path in ("/good", "/bad", "/async/fine", "/async/bad")] == [
        200, 500, 200, 500,
    ]  # fmt: skip
    with app.app_context():
        assert ctx.db.execute(text("SELECT word FROM words")).scalars().all() == ["good", "fine"]
    engine.dispose()


def test_a_handled_exception_that_a_teardown_passes_on_does_not_spoil_the_answer(app: Flask, ctx: WorkCtx) -> None:
    class PassesOn:
        def __enter__(self) -> None: ...
        def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
            if error is not None:
                raise error

    @app.get("/")
    def index() -> str:
        ctx.enter_context(PassesOn())
        raise Boom

    app.errorhandler(500)(lambda error: ("sorry", 500))
    app.config["PROPAGATE_EXCEPTIONS"] = False
    assert app.test_client().get("/").text == "sorry"
