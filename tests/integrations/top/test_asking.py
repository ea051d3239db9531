"""`python -m tlctx top`: how it gets its token, and what it says when something is wrong."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from support import live_view
from support.top import TOKEN, Server

if TYPE_CHECKING:
    from pathlib import Path

    from support.top import Top


def test_the_token_is_sent_to_the_view_with_its_last_slash_or_without(server: Server, top: Top) -> None:
    for address in (
        server.address,
        f"{server.address}/",
        f"{server.address}/requests.json",
        f"{server.address}/#flight",
    ):
        assert top(address)[0] == 0
    assert set(server.handler.asked) == {("/requests/requests.json", f"Bearer {TOKEN}")}


def test_the_token_can_be_in_a_file(server: Server, top: Top, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TLCTX_TOKEN")
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    assert top(server.address, "--token-file", str(tmp_path / "token"))[0] == 0
    status, _, errors = top(server.address, "--token-file", str(tmp_path / "none"))
    assert status == 1
    assert errors.endswith("/none: No such file or directory.\n")


def test_the_token_is_asked_for_at_a_terminal(server: Server, top: Top, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TLCTX_TOKEN")
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr("getpass.getpass", lambda prompt: TOKEN)
    assert top(server.address)[0] == 0


def test_a_token_is_no_argument_and_no_part_of_an_address(top: Top) -> None:
    for arguments in (["--token", "secret-1"], ["--token=secret-1"]):
        status, _, errors = top(*arguments, "http://127.0.0.1:1/")
        assert status == 2
        assert "unrecognized arguments" in errors
    status, _, errors = top("http://ann:secret-1@127.0.0.1:1/")
    assert status == 1
    assert "secret-1" not in errors
    assert "TLCTX_TOKEN" in errors


@pytest.mark.parametrize(
    "address", ["localhost:8000/requests", "ftp://localhost/", "http://", "http://[", "http://a:b/"]
)
def test_an_address_that_is_none_is_said_to_be_none(address: str, top: Top) -> None:
    assert top(address) == (1, "", "The address has to begin with http:// or https://, and to name a host.\n")


def test_it_says_what_is_wrong(server: Server, top: Top, monkeypatch: pytest.MonkeyPatch) -> None:
    def error() -> str:
        status, shown, errors = top(server.address)
        assert (status, shown) == (1, "")
        return errors.rstrip("\n")

    server.answers(status=404)
    assert error() == "There is no live view at this address (status 404)."
    server.answers(status=500)
    assert error() == "The server answers with an error (status 500)."
    for body in (
        b"<html>",
        b"[]",
        b"{}",
        b"[" * 100_000,
        b'{"processes": 1, "open": [], "trouble": [], "truncated": 0}',
    ):
        server.answers(body, status=200)
        assert error() == "What answers at this address is no live view of tlctx."
    server.answers(live_view.answer(open=[{}]))
    assert error() == "The answer can't be shown: it lacks something (KeyError)."
    monkeypatch.setenv("TLCTX_TOKEN", "wrong")
    assert error() == "The token is refused."
    monkeypatch.setenv("TLCTX_TOKEN", "")
    assert error() == "The server wants a token: set TLCTX_TOKEN, or name a file with --token-file."
    monkeypatch.setenv("TLCTX_TOKEN", "a\nb")
    assert error() == "The token has characters that no header can have."


def test_it_says_that_nothing_listens(top: Top, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TLCTX_TOKEN", TOKEN)
    assert top("http://127.0.0.1:1/") == (1, "", "The server can't be reached: Connection refused.\n")


def test_a_redirect_does_not_take_the_token_elsewhere(server: Server, top: Top) -> None:
    with Server() as other:
        server.answers(status=302, location=f"{other.address}/requests.json")
        status, _, errors = top(server.address)
        assert status == 1
        assert other.address in errors
        assert other.handler.asked == []


def test_it_says_which_extra_has_rich(top: Top, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert top("http://127.0.0.1:1/") == (1, "", "top needs the package rich: pip install 'tlctx[top]'\n")
