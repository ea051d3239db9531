"""The database: SQLite by default, PostgreSQL if the address says so."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine, event
from sqlalchemy.orm import Session, sessionmaker

from notebook.models import Base

if TYPE_CHECKING:
    from sqlalchemy import Engine

__all__ = ["connect", "sessions"]

sessions: sessionmaker[Session] = sessionmaker(expire_on_commit=False)
"""Makes the sessions of this process, on the database that `connect` was last called for."""

_SCHEMA_LOCK = 7_236_504  # any number that no other user of the PostgreSQL server's advisory locks has


def connect(url: str) -> Engine:
    """Open the database, and make its tables if it is new."""
    engine = create_engine(url, pool_size=8)  # a connection for each of a worker's threads
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        if engine.url.database:
            Path(engine.url.database).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _create_tables(engine)
    sessions.configure(bind=engine)
    return engine


def _create_tables(engine: Engine) -> None:
    # Workers start at the same time: the lock has one of them make the tables while the others wait, and then see them.
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        elif engine.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_SCHEMA_LOCK})")
        Base.metadata.create_all(connection)


def _prepare_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    connection.execute("PRAGMA busy_timeout = 10000")
    connection.execute("PRAGMA foreign_keys = ON")
    with suppress(sqlite3.OperationalError):  # another process is switching this file over right now
        connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.create_function("lower", 1, str.lower, deterministic=True)  # SQLite's own knows A to Z only
