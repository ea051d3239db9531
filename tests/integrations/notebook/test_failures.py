"""The sample application: a failure rolls back, and a row says who changed it."""

from __future__ import annotations

import pytest
from flask import Flask
from notebook.context import ctx, current_user
from notebook.database import sessions
from notebook.models import Note, User
from sqlalchemy import func, select
from support.notebook import Browser, pool_of, rows


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
