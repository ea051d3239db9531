"""The sample application: the export, which streams."""

from __future__ import annotations

import csv
import io

import pytest
from flask import Flask
from support.notebook import Browser, pool_of


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
