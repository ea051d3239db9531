"""Somebody who uses the sample application, and what is in its database."""

from __future__ import annotations

import re
from typing import Any, TypeVar

from flask import Flask
from notebook.database import sessions
from sqlalchemy import Select
from sqlalchemy.pool import QueuePool
from werkzeug.test import TestResponse

PASSWORD = "correct horse"


T = TypeVar("T")


class Browser:
    """Somebody at the pages: keeps the cookie, and fills in the forms' hidden field."""

    def __init__(self, app: Flask) -> None:
        self.client = app.test_client()

    def get(self, path: str, **query: object) -> TestResponse:
        return self.client.get(path, query_string=query or None)

    def token(self) -> str:
        (token,) = re.findall(r'name="csrf_token" value="([^"]+)"', self.get("/sign-in").text)[:1]
        return str(token)

    def post(self, path: str, **form: str) -> TestResponse:
        return self.client.post(path, data=form | {"csrf_token": self.token()})

    def api(self, method: str, path: str, **content: object) -> TestResponse:
        return self.client.open(path, method=method, json=content, headers={"X-CSRF-Token": self.token()})

    def sign_up(self, name: str) -> Browser:
        assert self.post("/sign-up", name=name, password=PASSWORD).status_code == 303
        return self

    def write(self, title: str, body: str = "") -> str:
        answer = self.post("/notes/new", title=title, body=body)
        assert answer.status_code == 303
        return str(answer.location)

    def titles(self, search: str) -> list[str]:
        return [note["title"] for note in json_of(self.get("/api/notes", q=search))["notes"]]


def pool_of(app: Flask) -> QueuePool:
    pool = app.extensions["notebook.engine"].pool
    assert isinstance(pool, QueuePool)
    return pool


def json_of(answer: TestResponse) -> Any:
    return answer.json


def rows(statement: Select[T]) -> list[T]:
    with sessions() as session:
        return list(session.scalars(statement))
