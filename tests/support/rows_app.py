"""A Flask application whose requests commit in their teardown, for a real server: `make(path of a database)`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flask import Flask
from sqlalchemy import Connection, Engine, create_engine, event, text

from tlctx import RequestContext, counters, per_request
from tlctx.flask import TLCtx

CONNECTIONS = 2
"""That the pool of each process has."""
MEGABYTES = 30
"""Of a large answer: more than the buffers between a server and a client hold."""
TABLES = (
    "CREATE TABLE parents (id INTEGER PRIMARY KEY)",
    "CREATE TABLE children (parent INTEGER REFERENCES parents (id) DEFERRABLE INITIALLY DEFERRED)",
)


class Ctx(RequestContext):
    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @per_request
    def db(self) -> Iterator[Connection]:
        with self.engine.begin() as connection:  # commits at the request's end
            yield connection


def make_engine(path: str) -> Engine:
    engine = create_engine(f"sqlite:///{path}", pool_size=CONNECTIONS, max_overflow=0, pool_timeout=0.5)

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _: object) -> None:
        connection.execute("PRAGMA foreign_keys = ON")

    return engine


def make_tables(path: str) -> None:
    engine = make_engine(path)
    with engine.begin() as connection:
        for table in TABLES:
            connection.execute(text(table))
    engine.dispose()


def make(path: str) -> Flask:
    app = Flask("rows")
    ctx = Ctx(make_engine(path))
    TLCtx(app, ctx)
    app.errorhandler(500)(lambda error: ("an error handler answered", 500))

    @app.post("/parents/<int:number>")
    def add_parent(number: int) -> Any:
        ctx.db.execute(text("INSERT INTO parents VALUES (:number)"), {"number": number})
        return {"added": number}, 201

    @app.get("/parents/<int:number>")
    def find_parent(number: int) -> Any:
        found = ctx.db.execute(text("SELECT 1 FROM parents WHERE id = :number"), {"number": number})
        return {"found": found.first() is not None}

    @app.post("/children/<int:parent>")
    def add_child(parent: int) -> Any:
        ctx.db.execute(text("INSERT INTO children VALUES (:parent)"), {"parent": parent})
        return {"added": parent}, 201

    @app.get("/children")
    def count_children() -> Any:
        return {"children": ctx.db.execute(text("SELECT count(*) FROM children")).scalar()}

    @app.get("/large")
    def large() -> Any:
        ctx.db.execute(text("SELECT 1"))
        return b"x" * (MEGABYTES << 20)

    @app.get("/counters")
    def count() -> Any:
        return list(counters())

    return app
