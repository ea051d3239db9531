"""The sample application: its first start, and many users at once."""

from __future__ import annotations

import asyncio
import io
import logging.config
import re
import runpy
from pathlib import Path

import pytest
from flask import Flask
from notebook import create_app
from notebook.config import kept_secret
from notebook.load import run_load, serving
from support.notebook import PASSWORD, Browser

ROOT = Path(__file__).resolve().parents[3]


class TestFirstStart:
    def test_the_secret_is_kept_and_for_its_owner_only(self, tmp_path: Path) -> None:
        path = tmp_path / "instance" / "secret_key"
        secret = kept_secret(path)
        assert len(secret) == 64
        assert kept_secret(path) == secret
        assert path.stat().st_mode & 0o777 == 0o600
        assert list(path.parent.iterdir()) == [path]

    def test_of_two_that_start_at_once_both_have_the_same_secret(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "secret_key"
        kept: list[str] = []

        def with_a_rival(_nbytes: int) -> str:
            monkeypatch.undo()
            kept.append(kept_secret(path))
            return "too late"

        monkeypatch.setattr("secrets.token_hex", with_a_rival)
        assert kept_secret(path) == kept[0]

    def test_a_database_that_is_there_is_used_as_it_is(self, app: Flask, ada: Browser) -> None:
        ada.write("Tea")
        again = create_app(app.config)
        assert Browser(again).post("/sign-in", name="ada", password=PASSWORD).status_code == 303
        again.extensions["notebook.inspector"].close()
        again.extensions["notebook.engine"].dispose()


class TestUnderLoad:
    @pytest.fixture(autouse=True)
    def import_what_is_tested(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PYTHONPATH", str(ROOT))

    @pytest.mark.parametrize(("users", "requests"), [(8, 80), pytest.param(20, 300, marks=pytest.mark.servers)])
    def test_no_answer_is_somebody_elses(self, users: int, requests: int) -> None:
        with serving() as url:
            report = asyncio.run(run_load(url, users, requests))
        assert (report.requests, report.foreign, report.failed) == (requests, 0, 0), report.examples

    @pytest.mark.control
    @pytest.mark.servers
    def test_with_the_user_in_a_global_many_are(self) -> None:
        foreign = 0
        with serving(unsafe=True) as url:
            for _ in range(5):  # one is all but certain to do
                foreign += asyncio.run(run_load(url, users=20, requests=300)).foreign
                if foreign:
                    break
        assert foreign > 0


class TestLogLines:
    def test_they_have_the_user_and_the_id_of_the_request(self, app: Flask, ada: Browser) -> None:
        configuration = runpy.run_path(str(ROOT / "examples/notebook/gunicorn.conf.py"))["logconfig_dict"]
        lines = io.StringIO()
        handler = configuration["handlers"]["console"] | {"stream": lines}
        logger = {"handlers": ["console"], "level": "INFO"}
        logging.config.dictConfig(
            configuration
            | {"handlers": {"console": handler}, "loggers": {"notebook": logger}, "root": {}, "incremental": False}
        )
        try:
            ada.client.get("/", headers={"X-Request-ID": "abc-1"})
        finally:
            logging.getLogger("notebook").handlers.clear()
            logging.getLogger("notebook").setLevel(logging.NOTSET)
        assert re.search(r" INFO \[\d+ abc-1 ada\] notebook: GET / 200$", lines.getvalue().strip())
