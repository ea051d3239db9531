"""The sample application: its API."""

from __future__ import annotations

import json

import pytest
from support.notebook import Browser, json_of


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
