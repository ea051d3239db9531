"""A session of SQLAlchemy for each request, under a token that no later request has."""

from __future__ import annotations

import contextvars
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("sqlalchemy", reason="needs SQLAlchemy")

from sqlalchemy import create_engine, text
from sqlalchemy.orm import scoped_session, sessionmaker
from sqlalchemy.pool import QueuePool
from support.helpers import PATIENCE, start_nothing
from support.requests import REQUEST
from werkzeug.test import Client

from tlctx import ContextMiddleware, OutsideRequestError, RequestContext, RequestEndedError
from tlctx.lowlevel import propagate
from tlctx.sqlalchemy import request_token
from tlctx.threads import ThreadPoolExecutor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Notes:
    """A database with three notes, a context whose requests remove their sessions, and the sessions."""

    def __init__(self, file: Path) -> None:
        self.engine = create_engine(f"sqlite:///{file}", poolclass=QueuePool, pool_size=5)
        with self.engine.begin() as connection:
            connection.execute(text("CREATE TABLE note (text)"))
            connection.execute(text("INSERT INTO note VALUES ('one'), ('two'), ('three')"))
        notes = self

        class Ctx(RequestContext):
            def __init__(self) -> None:
                self.callback(notes.sessions.remove)

        self.ctx = Ctx()
        self.sessions = scoped_session(sessionmaker(self.engine), scopefunc=request_token(self.ctx))

    @property
    def open_connections(self) -> int:
        return self.engine.pool.checkedout()  # type: ignore[attr-defined,no-any-return]

    def read(self) -> Any:
        return self.sessions.execute(text("SELECT text FROM note")).scalars()


@pytest.fixture
def notes(tmp_path: Path) -> Iterator[Notes]:
    notes = Notes(tmp_path / "notes.db")
    yield notes
    notes.engine.dispose()


def test_a_request_has_one_session_and_the_next_another(notes: Notes) -> None:
    found = []
    for _ in range(2):
        with notes.ctx.scope():
            session = notes.sessions()
            assert notes.sessions() is session
            found.append(session)
    assert found[0] is not found[1]
    assert notes.sessions.registry.registry == {}


def test_no_token_is_ever_used_again(notes: Notes) -> None:
    token = request_token(notes.ctx)
    seen = set()
    for _ in range(1000):
        with notes.ctx.scope():
            seen.add(token())
            assert token() in seen
    assert len(seen) == 1000


def test_the_session_of_a_streamed_answer_is_removed_after_its_last_byte_and_not_before(notes: Notes) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        return (f"{note}\n".encode() for note in notes.read())

    body: Any = ContextMiddleware(app, notes.ctx)(dict(REQUEST), start_nothing)
    chunks = iter(body)
    assert next(chunks) == b"one\n"
    assert notes.open_connections == 1
    assert list(chunks) == [b"two\n", b"three\n"]
    assert notes.open_connections == 1
    body.close()
    assert notes.open_connections == 0
    assert notes.sessions.registry.registry == {}


def test_two_streams_on_one_thread_have_a_session_each(notes: Notes) -> None:
    sessions = []

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        for note in notes.read():
            sessions.append(notes.sessions())
            yield note.encode()

    served = ContextMiddleware(app, notes.ctx)
    first, second = (Client(served).get("/", buffered=False) for _ in range(2))
    taken = list(zip(first.response, second.response, strict=True))
    assert taken == [(b"one", b"one"), (b"two", b"two"), (b"three", b"three")]
    assert sessions[0::2] == [sessions[0]] * 3
    assert sessions[1::2] == [sessions[1]] * 3
    assert sessions[0] is not sessions[1]
    first.close()
    second.close()
    assert notes.open_connections == 0


def test_a_job_in_a_pool_has_a_session_of_its_own_that_is_removed_with_it(notes: Notes) -> None:
    with ThreadPoolExecutor(1, contexts=[notes.ctx]) as pool, notes.ctx.scope():
        own = notes.sessions()
        job = pool.submit(lambda: (notes.sessions(), notes.read().all())).result(PATIENCE)
        assert job[0] is not own
        assert job[1] == ["one", "two", "three"]
        assert notes.open_connections == 0
        assert notes.sessions() is own


def test_where_no_request_runs_there_is_no_session(notes: Notes) -> None:
    with pytest.raises(OutsideRequestError, match="'session token'"):
        notes.sessions()
    with notes.ctx.scope() as scope, propagate(scope):
        context = contextvars.copy_context()
    with pytest.raises(RequestEndedError):
        context.run(notes.sessions)


@pytest.mark.parametrize("context", [RequestContext, None])
def test_what_is_no_context_is_refused(context: Any) -> None:
    with pytest.raises(TypeError, match="the context must be a RequestContext"):
        request_token(context)
