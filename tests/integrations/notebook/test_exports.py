"""The sample application: the export that a job makes, in threads and on Celery."""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("celery", reason="needs Celery")

from flask import Flask
from notebook import create_app
from notebook.context import ctx
from notebook.export import csv_lines
from notebook.models import Export, User
from sqlalchemy import select
from support.celery_app import messages_of, run_one
from support.helpers import PATIENCE, Boom, raising
from support.notebook import Browser, pool_of, rows
from support.processes import EXAMPLES, stopping
from support.redis import recorded, redis_server

from tlctx import Scope


def finish_jobs(app: Flask) -> None:
    app.extensions["notebook.pool"].shutdown()


def titles_in(answer: Any) -> list[str]:
    assert answer.content_type == "text/csv; charset=utf-8"
    return [line[1] for line in csv.reader(io.StringIO(answer.text, newline=""))][1:]


class TestInThreads:
    def test_it_has_every_note_under_a_proper_name(self, app: Flask, ada: Browser) -> None:
        ada.write("Bread")
        ada.write("Tea")
        assert 'href="/export"' in ada.get("/").text
        assert "Start the export" in ada.get("/export").text
        assert ada.post("/export").location == "/export"
        finish_jobs(app)
        page = ada.get("/export").text
        assert "is ready" in page
        assert "refresh" not in page
        answer = ada.get("/export.csv")
        assert answer.headers["Content-Disposition"] == "attachment; filename=notes-of-ada.csv"
        assert titles_in(answer) == ["Bread", "Tea"]

    def test_two_that_are_made_at_the_same_time_stay_apart(
        self, app: Flask, ada: Browser, bob: Browser, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        both = threading.Barrier(2)
        scopes: list[Scope | None] = []

        def meet_half_way() -> Iterator[str]:
            for line in csv_lines():
                both.wait(PATIENCE)
                scopes.append(Scope.current(ctx))
                yield line

        monkeypatch.setattr("notebook.exports.csv_lines", meet_half_way)
        for name, user in {"ada": ada, "bob": bob}.items():
            user.write(f"1 of {name}")
            user.write(f"2 of {name}")
            user.post("/export")
        finish_jobs(app)
        assert titles_in(ada.get("/export.csv")) == ["1 of ada", "2 of ada"]
        assert titles_in(bob.get("/export.csv")) == ["1 of bob", "2 of bob"]
        assert len(set(scopes)) == 2
        assert all(scope is not None and scope.ended for scope in scopes)
        assert pool_of(app).checkedout() == 0

    def test_while_it_is_made_the_page_looks_again_and_there_is_no_file(
        self, app: Flask, ada: Browser, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        may_go_on = threading.Event()
        monkeypatch.setattr("notebook.exports.csv_lines", lambda: [str(may_go_on.wait(PATIENCE))])
        ada.post("/export")
        page = ada.get("/export").text
        assert "is being made" in page
        assert '<meta http-equiv="refresh" content="2">' in page
        assert ada.get("/export.csv").status_code == 404
        may_go_on.set()
        finish_jobs(app)
        assert ada.get("/export.csv").text == "True"

    def test_nobody_else_gets_it(self, app: Flask, ada: Browser, bob: Browser, visitor: Browser) -> None:
        ada.post("/export")
        finish_jobs(app)
        assert bob.get("/export.csv").status_code == 404
        assert "Start the export" in bob.get("/export").text
        assert visitor.get("/export.csv").status_code == visitor.post("/export").status_code == 303

    def test_one_that_fails_says_so_and_leaves_nothing(
        self, app: Flask, ada: Browser, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr("notebook.exports.csv_lines", lambda: raising(Boom("of the job")))
        ada.post("/export")
        finish_jobs(app)
        assert "The export failed" in ada.get("/export").text
        assert ada.get("/export.csv").status_code == 404
        assert "of the job" in caplog.text
        assert pool_of(app).checkedout() == 0

    def test_one_that_can_not_be_started_has_failed(self, app: Flask, ada: Browser) -> None:
        finish_jobs(app)  # the pool takes no more
        assert ada.post("/export").status_code == 500
        assert "The export failed" in ada.get("/export").text

    def test_a_new_one_takes_the_place_of_the_last(
        self, app: Flask, ada: Browser, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first_has_begun, first_may_go_on, texts = threading.Event(), threading.Event(), iter(["old", "new"])

        def lines() -> Iterator[str]:
            text = next(texts)
            if text == "old":
                first_has_begun.set()
                first_may_go_on.wait(PATIENCE)
            yield text

        monkeypatch.setattr("notebook.exports.csv_lines", lines)
        ada.post("/export")
        first_has_begun.wait(PATIENCE)
        ada.post("/export")
        first_may_go_on.set()
        finish_jobs(app)
        assert [export.state for export in rows(select(Export))] == ["ready"]
        assert ada.get("/export.csv").text == "new"


@pytest.fixture(scope="module")
def redis_port() -> Iterator[int]:
    with redis_server() as port:
        yield port


class TestOnCelery:
    @pytest.fixture
    def broker(self) -> str:
        return "memory://"

    @pytest.fixture
    def app(self, app: Flask, broker: str) -> Iterator[Flask]:
        with_broker = create_app({**app.config, "CELERY_BROKER_URL": broker})
        yield with_broker
        with_broker.extensions["notebook.celery"].close()
        with_broker.extensions["notebook.inspector"].close()
        with_broker.extensions["notebook.engine"].dispose()

    def test_the_id_of_the_user_goes_along_and_nothing_else(self, app: Flask, ada: Browser) -> None:
        ada.write("Bread")
        ada.post("/export")
        celery = app.extensions["notebook.celery"]
        celery.main = "celery"  # the name of the queue
        (message,) = messages_of(celery)
        (user,) = rows(select(User))
        assert message.headers["tlctx.ctx"] == f'{{"user_id":{user.id}}}'
        assert "ada" not in str(message.headers) + str(message.body)
        assert "is being made" in ada.get("/export").text
        run_one(celery, message)
        assert titles_in(ada.get("/export.csv")) == ["Bread"]

    @pytest.mark.servers
    @pytest.mark.timeout(300)  # a worker takes its time to start, and to stop
    class TestWithAWorker:
        @pytest.fixture
        def broker(self, redis_port: int) -> str:
            return f"redis://127.0.0.1:{redis_port}/0"

        def test_its_processes_make_the_exports(
            self, app: Flask, ada: Browser, bob: Browser, broker: str, redis_port: int, database_url: str
        ) -> None:
            command = ["-m", "celery", "--workdir", str(EXAMPLES), "-A", "notebook.worker", "worker"]
            options = ["--loglevel=warning", "--concurrency=2", "--without-gossip", "--without-mingle"]
            settings = {"CELERY_BROKER_URL": broker, "DATABASE_URL": database_url, "SECRET_KEY": "of these tests"}
            environment = {**os.environ, **settings}
            worker = subprocess.Popen([sys.executable, *command, *options], cwd=Path.home(), env=environment)
            with stopping(worker), recorded(redis_port) as commands:
                for _ in range(3):
                    for name, user in {"ada": ada, "bob": bob}.items():
                        user.write(f"of {name}")
                        assert user.post("/export").status_code == 303
                for user in (ada, bob):
                    wait_until_ready(user, worker)
            assert titles_in(ada.get("/export.csv")) == ["of ada"] * 3
            assert titles_in(bob.get("/export.csv")) == ["of bob"] * 3
            told = b"".join(commands)
            assert b"user_id" in told
            assert b"of ada" not in told
            assert b"password" not in told


def wait_until_ready(user: Browser, worker: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 2 * PATIENCE
    while "is ready" not in user.get("/export").text:
        assert worker.poll() is None
        assert time.monotonic() < deadline, "the export does not become ready"
        time.sleep(0.1)  # as the page does
