"""The sample application: signing up and in, and forged requests."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask import Flask
from notebook import create_app
from notebook.database import sessions
from notebook.models import Note, User
from sqlalchemy import select
from support.notebook import PASSWORD, Browser, rows


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
        app.extensions["notebook.inspector"].close()
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
