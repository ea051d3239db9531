"""The sample application: what its users can do, and that none of them meets another."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from flask import Flask
from notebook import create_app
from notebook.config import kept_secret
from notebook.context import ctx, current_user
from notebook.database import sessions
from notebook.load import run_load, serving
from notebook.models import Base, Note, User
from support.postgres import postgres
from sqlalchemy import Select, create_engine, func, select
from sqlalchemy.pool import QueuePool
from werkzeug.test import TestResponse

ROOT = Path(__file__).resolve().parent.parent.parent
PASSWORD = "correct horse"

T = TypeVar("T")


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    with postgres() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'new' / 'notes.sqlite3'}"
        return
    url = request.getfixturevalue("postgres_url")
    yield url
    engine = create_engine(url)
    Base.metadata.drop_all(engine)
    engine.dispose()


@pytest.fixture
def app(database_url: str) -> Iterator[Flask]:
    app = create_app(
        {
            "DATABASE_URL": database_url,
            "SECRET_KEY": "of these tests",
            "PASSWORD_METHOD": "pbkdf2:sha256:1",
        }
    )
    yield app
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


class TestSigningUpAndIn:
    def test_who_signs_up_is_signed_in_and_greeted_once(self, ada: Browser) -> None:
        assert "Welcome, ada." in ada.get("/").text
        assert "Welcome" not in ada.get("/").text

    def test_the_password_is_kept_as_a_hash_only(self, ada: Browser) -> None:
        (user,) = rows(select(User))
        assert user.password_hash.startswith("pbkdf2:sha256:1$")
        assert PASSWORD not in user.password_hash

    def test_the_default_hash_is_a_slow_one(self, tmp_path: Path) -> None:
        app = create_app({"DATABASE_URL": f"sqlite:///{tmp_path / 'notes.sqlite3'}", "SECRET_KEY": "x"})
        app.extensions["notebook.engine"].dispose()
        assert app.config["PASSWORD_METHOD"] == "scrypt"

    def test_who_signs_out_is_a_visitor_again(self, ada: Browser) -> None:
        assert ada.post("/sign-out").status_code == 303
        assert ada.get("/").location == "/sign-in"

    def test_signing_in_takes_the_name_in_any_case(self, ada: Browser, visitor: Browser) -> None:
        assert visitor.post("/sign-in", name=" Ada ", password=PASSWORD).location == "/"
        assert "ada" in visitor.get("/").text

    @pytest.mark.parametrize(("name", "password"), [("ada", "wrong password"), ("nobody", PASSWORD), ("", "")])
    def test_a_wrong_name_or_password_gets_the_same_answer_and_no_session(
        self, ada: Browser, visitor: Browser, name: str, password: str
    ) -> None:
        answer = visitor.post("/sign-in", name=name, password=password)
        assert answer.status_code == 422
        assert "Name and password do not match." in answer.text
        assert visitor.get("/").location == "/sign-in"

    def test_the_form_keeps_the_name_but_never_the_password(self, visitor: Browser) -> None:
        answer = visitor.post("/sign-in", name="<ada>", password="hunter22222")
        assert 'value="&lt;ada&gt;"' in answer.text
        assert "hunter22222" not in answer.text

    def test_a_name_can_be_had_once_only(self, ada: Browser, visitor: Browser) -> None:
        answer = visitor.post("/sign-up", name="ADA", password=PASSWORD)
        assert answer.status_code == 422
        assert "This name is taken." in answer.text
        assert [user.name for user in rows(select(User))] == ["ada"]

    @pytest.mark.parametrize(
        ("name", "password"), [("a", PASSWORD), ("a b", PASSWORD), ("ada\n", "short"), ("ada", "x" * 201)]
    )
    def test_unfit_names_and_passwords_are_refused(self, visitor: Browser, name: str, password: str) -> None:
        assert visitor.post("/sign-up", name=name, password=password).status_code == 422
        assert rows(select(User)) == []

    def test_signing_in_leaves_nothing_of_the_session_before(self, ada: Browser, visitor: Browser) -> None:
        before = visitor.token()
        visitor.post("/sign-in", name="ada", password=PASSWORD)
        assert visitor.token() != before

    def test_the_cookie_is_kept_from_scripts_and_other_sites(self, visitor: Browser) -> None:
        cookie = visitor.get("/sign-in").headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie

    def test_the_session_of_an_account_that_is_gone_is_a_visitors(self, ada: Browser) -> None:
        with sessions() as session:
            session.delete(session.scalars(select(User)).one())
            session.commit()
        assert ada.get("/").location == "/sign-in"


class TestForgedRequests:
    FORMS = ("/sign-up", "/sign-in", "/sign-out", "/notes/new", "/notes/1/edit", "/notes/1/delete")

    @pytest.mark.parametrize("path", FORMS)
    @pytest.mark.parametrize("token", ["", "guessed", "gu\u00e9ssed"])
    def test_a_form_without_the_token_is_refused(self, ada: Browser, path: str, token: str) -> None:
        ada.write("Still here")
        form = {"name": "eve", "password": PASSWORD, "title": "x", "body": "", "csrf_token": token}
        assert ada.client.post(path, data=form).status_code == 400
        assert ada.titles("") == ["Still here"]

    @pytest.mark.parametrize(
        ("method", "path"), [("POST", "/api/notes"), ("PATCH", "/api/notes/1"), ("DELETE", "/api/notes/1")]
    )
    def test_the_api_wants_the_token_in_a_header(self, ada: Browser, method: str, path: str) -> None:
        ada.write("Still here")
        answer = ada.client.open(path, method=method, json={"title": "x"})
        assert (answer.status_code, answer.content_type) == (400, "application/json")
        assert ada.titles("") == ["Still here"]

    def test_the_token_of_one_session_is_none_of_anothers(self, ada: Browser, bob: Browser) -> None:
        form = {"title": "x", "body": "", "csrf_token": bob.token()}
        assert ada.client.post("/notes/new", data=form).status_code == 400

    def test_without_a_session_no_token_is_right(self, visitor: Browser) -> None:
        form = {"name": "eve", "password": PASSWORD, "csrf_token": ""}
        assert visitor.client.post("/sign-up", data=form).status_code == 400


class TestNotes:
    def test_a_new_notebook_says_how_to_begin(self, ada: Browser) -> None:
        assert "Write your first note" in ada.get("/").text

    def test_a_note_can_be_written_read_rewritten_and_deleted(self, ada: Browser) -> None:
        path = ada.write("Bread", "flour\r\nwater")
        assert "flour\nwater" in ada.get(path).text
        ada.post(f"{path}/edit", title="Sourdough", body="flour")
        assert "Sourdough" in ada.get(path).text
        ada.post(f"{path}/delete")
        assert ada.get(path).status_code == 404

    def test_input_that_is_refused_is_kept_in_the_form(self, ada: Browser) -> None:
        answer = ada.post("/notes/new", title=" ", body="a long text")
        assert answer.status_code == 422
        assert "Give the note a title." in answer.text
        assert "a long text" in answer.text

    def test_a_change_that_is_refused_changes_nothing(self, ada: Browser) -> None:
        path = ada.write("Bread", "flour")
        answer = ada.post(f"{path}/edit", title="x" * 201, body="y" * 20_001)
        assert answer.status_code == 422
        assert [(note.title, note.body) for note in rows(select(Note))] == [("Bread", "flour")]

    def test_html_in_a_note_is_text(self, ada: Browser) -> None:
        assert "<script>" not in ada.get(ada.write("<script>", "<script>")).text

    @pytest.mark.parametrize("path", ["", "/edit"])
    def test_somebody_elses_note_is_not_found(self, ada: Browser, bob: Browser, path: str) -> None:
        note = ada.write("Secret")
        assert bob.get(note + path).status_code == 404
        assert "Secret" not in bob.get(note + path).text

    def test_somebody_elses_note_can_be_neither_changed_nor_deleted(self, ada: Browser, bob: Browser) -> None:
        note = ada.write("Secret")
        assert bob.post(f"{note}/edit", title="x", body="").status_code == 404
        assert bob.post(f"{note}/delete").status_code == 404
        assert bob.api("PATCH", f"/api{note}", title="x").status_code == 404
        assert bob.api("DELETE", f"/api{note}").status_code == 404
        assert ada.titles("") == ["Secret"]

    def test_nobody_finds_lists_or_exports_what_others_wrote(self, ada: Browser, bob: Browser) -> None:
        ada.write("Secret")
        for path in ("/", "/?q=secret", "/api/notes", "/notes.csv"):
            assert "Secret" not in bob.get(path).text

    @pytest.mark.parametrize("number", [0, 2**31, 2**63, 10**30])
    def test_a_number_that_no_note_can_have_is_not_found(self, ada: Browser, number: int) -> None:
        assert ada.get(f"/notes/{number}").status_code == 404

    def test_long_notebooks_come_in_pages(self, ada: Browser) -> None:
        for number in range(21):
            ada.api("POST", "/api/notes", title=f"Note {number}.")
        assert "Note 20." in ada.get("/").text
        assert "Note 0." not in ada.get("/").text
        assert "Note 0." in ada.get("/", page=2).text
        assert "nothing on this page" in ada.get("/", page=10**30).text
        assert "Note 20." in ada.get("/", page=-1).text

    def test_pages_are_not_kept_by_browsers(self, ada: Browser) -> None:
        assert ada.get("/").headers["Cache-Control"] == "no-store"


class TestSearch:
    def test_it_looks_into_titles_and_texts_in_any_case(self, ada: Browser) -> None:
        ada.write("Bread", "flour")
        ada.write("Soup", "BREAD goes with it")
        ada.write("Tea")
        assert ada.titles("bReAd") == ["Soup", "Bread"]
        assert ada.titles("FLOUR") == ["Bread"]

    def test_letters_beyond_a_to_z_have_cases_too(self, ada: Browser) -> None:
        ada.write("ÜBERMUT")
        assert ada.titles("übermut") == ["ÜBERMUT"]

    @pytest.mark.parametrize(("search", "found"), [("%", ["100%"]), ("_", ["a_b"]), ("/", ["1/2"]), ("\\", ["C:\\"])])
    def test_wildcards_stand_for_themselves(self, ada: Browser, search: str, found: list[str]) -> None:
        for title in ("100%", "a_b", "1/2", "C:\\", "plain"):
            ada.write(title)
        assert ada.titles(search) == found

    def test_blanks_and_impossible_characters_are_no_search(self, ada: Browser) -> None:
        ada.write("Tea")
        assert ada.titles(" \0 ") == ["Tea"]

    def test_the_page_says_so_if_nothing_was_found(self, ada: Browser) -> None:
        ada.write("Tea")
        assert "Nothing found." in ada.get("/", q="coffee").text
        assert "Tea" not in ada.get("/", q="coffee").text


class TestExport:
    def test_it_has_every_note_under_a_proper_name(self, ada: Browser) -> None:
        ada.write("Bread", 'flour,\n"water"')
        ada.write("Tea")
        answer = ada.get("/notes.csv")
        assert answer.content_type == "text/csv; charset=utf-8"
        assert answer.headers["Content-Disposition"] == "attachment; filename=notes-of-ada.csv"
        head, *lines = csv.reader(io.StringIO(answer.text, newline=""))
        assert head == ["Owner", "Title", "Body", "Created", "Changed"]
        assert [line[:3] for line in lines] == [["ada", "Bread", 'flour,\n"water"'], ["ada", "Tea", ""]]

    def test_it_is_sent_while_it_is_made(self, ada: Browser) -> None:
        ada.write("Bread")
        ada.write("Tea")
        answer = ada.client.get("/notes.csv", buffered=False)
        assert "Content-Length" not in answer.headers
        chunks = iter(answer.response)
        assert b"Owner" in next(chunks)
        assert b"Bread" in next(chunks)
        answer.close()

    def test_two_that_are_taken_in_turn_stay_apart(self, ada: Browser, bob: Browser) -> None:
        users = {"ada": ada, "bob": bob}
        for name, user in users.items():
            user.write(f"1 of {name}")
            user.write(f"2 of {name}")
        answers = [user.client.get("/notes.csv", buffered=False) for user in users.values()]
        taken = list(zip(*(answer.response for answer in answers), strict=True))
        for answer in answers:
            answer.close()
        for number, (of_ada, of_bob) in enumerate(taken[1:], 1):
            assert of_ada.startswith(f"ada,{number} of ada,".encode())
            assert of_bob.startswith(f"bob,{number} of bob,".encode())

    def test_its_session_is_open_until_it_ends(self, app: Flask, ada: Browser) -> None:
        ada.write("Bread")
        pool = pool_of(app)
        answer = ada.client.get("/notes.csv", buffered=False)
        next(iter(answer.response))
        assert pool.checkedout() == 1
        answer.close()
        assert pool.checkedout() == 0

    @pytest.mark.parametrize("formula", ["=1+1", "+1", "-1", "@SUM(A1)"])
    def test_a_spreadsheet_takes_nothing_for_a_formula(self, ada: Browser, formula: str) -> None:
        ada.write(formula, f"\t{formula}")
        line = list(csv.reader(io.StringIO(ada.get("/notes.csv").text)))[1]
        assert line[1:3] == [f"'{formula}", f"'{formula}"]


class TestApi:
    def test_visitors_get_a_401_injson_of(self, visitor: Browser) -> None:
        answer = visitor.get("/api/notes")
        assert (answer.status_code, answer.json) == (401, {"error": "Sign in first."})

    def test_a_program_learns_who_it_is_and_how_to_write(self, ada: Browser) -> None:
        session = ada.get("/api/session").json
        assert session == {"user": "ada", "csrf_token": ada.token()}

    def test_a_note_can_be_added_read_changed_and_removed(self, ada: Browser) -> None:
        added = ada.api("POST", "/api/notes", title="Tea", body="Earl Grey")
        assert added.status_code == 201
        assert ada.get(added.location).json == added.json
        assert json_of(added)["owner"] == json_of(added)["changed_by"] == "ada"
        changed = json_of(ada.api("PATCH", added.location, title="Coffee"))
        assert (changed["title"], changed["body"]) == ("Coffee", "Earl Grey")
        assert ada.api("DELETE", added.location).status_code == 204
        assert ada.get(added.location).status_code == 404

    @pytest.mark.parametrize(
        "content", [{}, {"title": ""}, {"title": 1}, {"title": None}, {"title": "x", "body": []}, [], "x", None]
    )
    def test_content_that_makes_no_note_is_refused_by_field(self, ada: Browser, content: object) -> None:
        headers = {"X-CSRF-Token": ada.token(), "Content-Type": "application/json"}
        answer = ada.client.post("/api/notes", data=json.dumps(content), headers=headers)
        assert answer.status_code == 422
        assert set(json_of(answer)["fields"]) <= {"title", "body"}

    @pytest.mark.parametrize(("sent", "kept"), [("a\0b", "ab"), ("a\ud800b", "a?b"), ("a\r\nb", "a\nb")])
    def test_what_databases_refuse_is_put_right(self, ada: Browser, sent: str, kept: str) -> None:
        assert json_of(ada.api("POST", "/api/notes", title="x", body=sent))["body"] == kept

    @pytest.mark.parametrize(
        ("body", "kind", "status"), [("{", "application/json", 400), ("title=x", "text/plain", 415)]
    )
    def test_what_is_no_json_gets_an_error_that_is(self, ada: Browser, body: str, kind: str, status: int) -> None:
        headers = {"X-CSRF-Token": ada.token(), "Content-Type": kind}
        answer = ada.client.post("/api/notes", data=body, headers=headers)
        assert (answer.status_code, answer.content_type) == (status, "application/json")

    def test_errors_keep_their_headers(self, ada: Browser) -> None:
        answer = ada.api("PUT", "/api/notes/1")
        assert (answer.status_code, answer.content_type) == (405, "application/json")
        assert "PATCH" in answer.headers["Allow"]

    def test_an_address_that_is_not_there_is_a_404_injson_of(self, ada: Browser) -> None:
        assert "error" in json_of(ada.get("/api/nothing"))


class TestWhoChangedARow:
    def test_it_is_the_user_of_the_request(self, app: Flask, ada: Browser) -> None:
        ada.write("Tea")
        (note,) = rows(select(Note))
        assert note.changed_by_id == note.owner_id
        assert note.changed_at.tzinfo is not None

    def test_it_need_not_be_the_owner(self, app: Flask, ada: Browser, bob: Browser) -> None:
        ada.write("Tea")
        owner, other = rows(select(User).order_by(User.id))
        with app.app_context():
            ctx.user = other
            ctx.db.scalars(select(Note)).one().body = "milk"
            ctx.db.commit()
        (note,) = rows(select(Note))
        assert (note.owner_id, note.changed_by_id) == (owner.id, other.id)

    def test_outside_a_request_it_is_nobody(self, ada: Browser) -> None:
        ada.write("Tea")
        with sessions() as session:
            session.scalars(select(Note)).one().title = "Coffee"
            session.commit()
        (note,) = rows(select(Note))
        assert note.changed_by_id is None

    def test_a_row_that_is_only_read_is_not_stamped(self, ada: Browser) -> None:
        ada.write("Tea")
        with sessions() as session:
            note = session.scalars(select(Note)).one()
            note.title = "Tea"
            session.commit()
            assert note.changed_by_id == note.owner_id


class TestFailures:
    @pytest.fixture
    def ada(self, app: Flask) -> Browser:
        app.add_url_rule("/break", view_func=self.break_down, methods=["POST"])
        app.add_url_rule("/api/break", view_func=self.break_down, methods=["POST"])
        app.add_url_rule("/break-in-flush", view_func=self.break_in_flush)
        return Browser(app).sign_up("ada")

    @staticmethod
    def break_down() -> str:
        ctx.db.add(Note(owner_id=current_user().id, title="Half done", body=""))
        ctx.db.flush()
        raise ZeroDivisionError

    @staticmethod
    def break_in_flush() -> str:
        ctx.db.add(Note(owner_id=None, title="", body=""))
        ctx.db.flush()
        return "never"

    @pytest.mark.parametrize(("path", "text"), [("/break", "Something broke"), ("/api/break", '"error":')])
    def test_a_500_rolls_back(self, app: Flask, ada: Browser, path: str, text: str) -> None:
        answer = ada.post(path)
        assert answer.status_code == 500
        assert text in answer.text
        assert rows(select(func.count(Note.id))) == [0]
        assert pool_of(app).checkedout() == 0

    def test_its_page_needs_no_session_that_works(self, ada: Browser) -> None:
        assert "Something broke" in ada.get("/break-in-flush").text

    def test_what_is_not_found_has_a_page(self, visitor: Browser) -> None:
        answer = visitor.get("/nothing")
        assert answer.status_code == 404
        assert "Back to your notes" in answer.text

    def test_a_form_with_a_field_missing_is_a_400(self, ada: Browser) -> None:
        assert ada.post("/notes/new", title="x").status_code == 400

    def test_too_much_is_a_413(self, ada: Browser) -> None:
        assert ada.post("/notes/new", title="x", body="x" * 300_000).status_code == 413


class TestCommands:
    def test_add_user_opens_an_account(self, app: Flask, visitor: Browser) -> None:
        result = app.test_cli_runner().invoke(args=["add-user", "Ada", "--password", PASSWORD])
        assert (result.exit_code, result.output) == (0, "ada can sign in now.\n")
        assert visitor.post("/sign-in", name="ada", password=PASSWORD).status_code == 303

    def test_add_user_says_what_is_wrong(self, app: Flask, ada: Browser) -> None:
        result = app.test_cli_runner().invoke(args=["add-user", "ada", "--password", PASSWORD])
        assert result.exit_code == 1
        assert "This name is taken." in result.output

    def test_seed_demo_writes_notes_in_a_users_name(self, app: Flask) -> None:
        result = app.test_cli_runner().invoke(args=["seed-demo"])
        assert result.exit_code == 0
        assert "to find 5 notes" in result.output
        (user,) = rows(select(User))
        assert {note.changed_by_id for note in rows(select(Note))} == {user.id}


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
        again.extensions["notebook.engine"].dispose()


class TestUnderLoad:
    @pytest.fixture(autouse=True)
    def import_what_is_tested(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PYTHONPATH", str(ROOT))

    def test_no_answer_is_somebody_elses(self) -> None:
        with serving() as url:
            report = asyncio.run(run_load(url, users=20, requests=300))
        assert (report.requests, report.foreign, report.failed) == (300, 0, 0), report.examples

    def test_with_the_user_in_a_global_many_are(self) -> None:
        foreign = 0
        with serving(unsafe=True) as url:
            for _ in range(5):  # one is all but certain to do
                foreign += asyncio.run(run_load(url, users=20, requests=300)).foreign
                if foreign:
                    break
        assert foreign > 0
