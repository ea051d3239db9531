"""The sample application: notes, and the search."""

from __future__ import annotations

import pytest
from notebook.models import Note
from sqlalchemy import select
from support.notebook import Browser, rows


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
