"""The sample application: the page "Two users at once", and the live view."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from notebook import race, two_users
from notebook.board import board
from notebook.database import sessions
from notebook.models import Race, now
from notebook.race import VARIANTS, Answer, find_race, is_running, start_race
from sqlalchemy import select
from support.helpers import PATIENCE
from support.notebook import Browser, rows
from werkzeug.serving import make_server

NOWHERE = ("127.0.0.1", 9)


@pytest.fixture
def served(app: Flask) -> Iterator[tuple[str, int]]:
    """The address of a server of the application."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield "127.0.0.1", server.server_port
    server.shutdown()
    thread.join(PATIENCE)
    server.server_close()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four requests, two at a time, of which each has noted its user before the other goes on."""
    both = threading.Barrier(2)
    monkeypatch.setattr(race, "EACH", 1)
    monkeypatch.setattr(race, "AT_ONCE", 2)
    monkeypatch.setattr(two_users, "query_database", lambda: both.wait(PATIENCE))


def start(address: tuple[str, int]) -> bool:
    return start_race(address, lambda variant, user: f"/two-users/{variant}/{user}")


def wait_for_the_end() -> None:
    for thread in threading.enumerate():
        if thread.name == "two-users":
            thread.join(PATIENCE)


def foreign(variant: Any) -> int:
    return board(variant, find_race()[1]).foreign


@pytest.mark.usefixtures("small")
def test_the_global_mixes_two_users_up_and_the_context_does_not(served: tuple[str, int], visitor: Browser) -> None:
    assert start(served)
    wait_for_the_end()
    assert {variant: foreign(variant) for variant in VARIANTS} == {"global": 1, "context": 0}
    assert [answer.got is None for answer in find_race()[1]] == [False] * 4
    page = " ".join(re.sub(r"<[^>]+>", "", visitor.get("/two-users/").text).split())
    assert "1 of 2 answers went to the wrong user" in page
    assert "0 of 2 answers went to the wrong user" in page


class TestStarting:
    def test_the_form_begins_one_on_this_very_server(self, visitor: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
        begun: list[Any] = []
        monkeypatch.setattr(two_users, "start_race", lambda *arguments: begun.append(arguments))
        answer = visitor.post("/two-users/")
        assert (answer.status_code, answer.location) == (303, "/two-users/")
        ((address, path_of),) = begun
        assert address == ("localhost", 80)
        with visitor.client.application.test_request_context():
            assert path_of("global", "ben") == "/two-users/global/ben"

    def test_the_client_has_no_say_in_which_server_that_is(self, app: Flask) -> None:
        with app.test_request_context(headers={"Host": "elsewhere.example:81"}):
            assert two_users._own_address() == ("localhost", 80)

    @pytest.mark.parametrize("listens", ["0.0.0.0", "::"])
    def test_one_that_listens_everywhere_is_asked_on_this_machine(self, app: Flask, listens: str) -> None:
        with app.test_request_context(environ_overrides={"SERVER_NAME": listens, "SERVER_PORT": "8000"}):
            assert two_users._own_address() == ("127.0.0.1", 8000)

    def test_it_needs_the_token_of_the_form(self, visitor: Browser) -> None:
        assert visitor.client.post("/two-users/").status_code == 400
        assert find_race() == (None, [])

    def test_while_one_runs_no_other_begins(self, app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
        go = threading.Event()
        monkeypatch.setattr(race, "_ask", lambda *_: go.wait(PATIENCE) and Answer("global", "ann"))
        assert start(NOWHERE)
        try:
            assert not start(NOWHERE)
            assert is_running(find_race()[0])
        finally:
            go.set()
            wait_for_the_end()
        assert not is_running(find_race()[0])
        assert len(rows(select(Race))) == 1

    def test_one_whose_process_was_killed_does_not_stand_in_the_way_for_good(
        self, app: Flask, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(race, "_run", lambda *_: None)
        assert start(NOWHERE)
        with sessions.begin() as session:
            session.scalars(select(Race)).one().begun_at = now() - timedelta(minutes=1)
        assert not is_running(find_race()[0])
        assert start(NOWHERE)
        assert is_running(find_race()[0])

    def test_it_ends_when_its_time_is_over(self, app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(race, "SECONDS", -1)
        monkeypatch.setattr(race, "HTTPConnection", None)  # it is not even tried
        start(NOWHERE)
        wait_for_the_end()
        assert {answer.got for answer in find_race()[1]} == {None}


class TestPage:
    def test_it_is_there_for_visitors_and_shows_the_code_that_answers(self, visitor: Browser) -> None:
        page = visitor.get("/two-users/").text
        assert "def in_global(name):\n    global the_user\n    the_user = name\n" in page
        assert "def in_context(name):\n    ctx.user_name = name\n" in page
        assert page.count("no requests yet") == 2
        assert "http-equiv" not in page

    def test_while_one_runs_it_says_so_and_reloads_itself_without_a_script(
        self, visitor: Browser, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(race, "_run", lambda *_: None)
        start(NOWHERE)
        assert '<noscript><meta http-equiv="refresh" content="1"></noscript>' in visitor.get("/two-users/").text
        boards = visitor.get("/two-users/boards").text
        assert boards.count('data-running="true"') == 2
        assert "waiting for the first answer" in boards

    def test_a_server_that_does_not_answer_is_told_of(self, visitor: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(race, "EACH", 1)
        start(NOWHERE)
        wait_for_the_end()
        assert visitor.get("/two-users/boards").text.count("2 requests got no answer.") == 2

    @pytest.mark.parametrize("body", [b"no JSON", b"[]", b'{"nonsense": 1}'])
    def test_an_answer_that_says_nothing_is_none(
        self, app: Flask, served: tuple[str, int], body: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(app.view_functions, "two_users.answer_from_global", lambda name: body)
        assert race._ask(served, "global", "ann", "/two-users/global/ann", float("inf")) == Answer("global", "ann")

    def test_nobody_else_can_ask(self, visitor: Browser) -> None:
        assert visitor.get("/two-users/global/mallory").status_code == 404


class TestLiveView:
    def test_it_is_for_those_who_have_the_password(self, visitor: Browser) -> None:
        assert visitor.get("/requests/").status_code == 401
        answer = visitor.client.get("/requests/requests.json", auth=("anybody", "the-token-of-these-tests"))
        assert answer.json is not None
        assert answer.json["open"] == []


def test_what_others_write_changes_nothing_on_the_page_of_a_user(app: Flask) -> None:
    ada, bob = Browser(app).sign_up("ada"), Browser(app).sign_up("bob")
    ada.write("Tea")
    ada.get("/")  # with what the first page says once
    before = ada.get("/").text
    bob.write("Coffee")
    assert ada.get("/").text == before
