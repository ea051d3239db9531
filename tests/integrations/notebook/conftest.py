"""A new notebook for each test, on SQLite and on PostgreSQL, and its users."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from jinja2 import FileSystemBytecodeCache
from notebook import create_app
from notebook.models import Base
from sqlalchemy import create_engine
from support.notebook import Browser
from support.postgres import postgres


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    with postgres() as url:
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.servers)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'new' / 'notes.sqlite3'}"
        return
    url = request.getfixturevalue("postgres_url")
    yield url
    engine = create_engine(url)
    Base.metadata.drop_all(engine)
    engine.dispose()


@pytest.fixture(scope="session")
def compiled_templates(tmp_path_factory: pytest.TempPathFactory) -> FileSystemBytecodeCache:
    """What the templates were compiled to, for each new notebook to find."""
    return FileSystemBytecodeCache(str(tmp_path_factory.mktemp("templates")))


@pytest.fixture
def app(database_url: str, compiled_templates: FileSystemBytecodeCache) -> Iterator[Flask]:
    app = create_app(
        {
            "DATABASE_URL": database_url,
            "SECRET_KEY": "of these tests",
            "PASSWORD_METHOD": "pbkdf2:sha256:1",
            "INSPECTOR_TOKEN": "the-token-of-these-tests",
        }
    )
    app.jinja_env.bytecode_cache = compiled_templates
    yield app
    app.extensions["notebook.inspector"].close()
    app.extensions["notebook.pool"].shutdown()
    app.extensions["notebook.engine"].dispose()


@pytest.fixture
def visitor(app: Flask) -> Browser:
    return Browser(app)


@pytest.fixture
def ada(app: Flask) -> Browser:
    return Browser(app).sign_up("ada")


@pytest.fixture
def bob(app: Flask) -> Browser:
    return Browser(app).sign_up("bob")
