"""`python -m tlctx top`: what it shows, how it gets its token, what it says when something is wrong."""

from __future__ import annotations

import contextlib
import http.server
import io
import json
import os
import subprocess
import sys
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from support import live_view
from support.helpers import PATIENCE

pytest.importorskip("rich", reason="needs rich")

from rich.console import Console

from tlctx.__main__ import main
from tlctx._top.picture import Picture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Top = Callable[..., tuple[int, str, str]]

TOKEN = "a-token-of-sixteen"


class Handler(http.server.BaseHTTPRequestHandler):
    """The server half of a live view."""

    status = 200
    location = ""
    body = b""
    asked: ClassVar[list[tuple[str, str | None]]]

    def do_GET(self) -> None:
        self.asked.append((self.path, self.headers["Authorization"]))
        status = self.status if self.headers["Authorization"] == f"Bearer {TOKEN}" else 401
        self.send_response(status)
        if self.location:
            self.send_header("Location", self.location)
        self.end_headers()
        self.wfile.write(self.body)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


class Server:
    """A live view whose answers the tests make up."""

    def __init__(self) -> None:
        class OwnHandler(Handler):
            asked: ClassVar[list[tuple[str, str | None]]] = []

        self.handler = OwnHandler
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self.handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}/requests"

    def answers(self, picture: object = None, **attributes: object) -> None:
        body = picture if isinstance(picture, bytes) else json.dumps(picture).encode()
        for name, value in {"body": body, **attributes}.items():
            setattr(self.handler, name, value)

    def __enter__(self) -> Server:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._thread.join(PATIENCE)
        self._server.server_close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("TLCTX_TOKEN", TOKEN)
    monkeypatch.setenv("COLUMNS", "140")
    with Server() as running:
        running.answers(live_view.answer())
        yield running


@pytest.fixture
def top(capsys: pytest.CaptureFixture[str]) -> Top:
    """Run the program; its status, what it printed, and what it printed as errors."""

    def run(*arguments: str) -> tuple[int, str, str]:
        status: Any = 0
        try:
            main(["top", "--once", *arguments])
        except SystemExit as ended:
            status = ended.code
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


def test_it_shows_the_requests_with_the_oldest_first(server: Server, top: Top) -> None:
    young = live_view.request(2, "/notes", age=0.34, state="waiting", chunks=3)
    old = live_view.request(1, "/reports", age=75, values={"user": "'ann'"}, thread={"id": 1, "name": "gthread_5"})
    server.answers(live_view.answer(open=[young, old], truncated=2_000, trouble=["Redis is away"]))
    status, shown, errors = top(server.address)
    assert (status, errors) == (0, "")
    lines = [line.split() for line in shown.splitlines()]
    assert lines[0][:5] == ["2,002", "in", "flight", "·", "oldest"]
    assert ["!!", "1", "min", "15", "s", "GET", "/reports", "gthread_5", "running", "user='ann',", "db"] in lines
    assert ["340", "ms", "GET", "/notes", "gthread_1", "waiting,", "3", "chunks", "db,", "user"] in lines
    assert shown.index("/reports") < shown.index("/notes") < shown.index("2,000 more in flight")
    assert "Redis is away" in shown


def test_it_tells_processes_and_machines_apart_where_there_are_several(server: Server, top: Top) -> None:
    processes = [live_view.process(1), live_view.process(1, "web-2")]
    requests = [live_view.request(1, age=1), live_view.request(1, age=1, of="web-2:401")]
    server.answers(live_view.answer(processes=processes, open=requests))
    _, shown, _ = top(server.address)
    assert "2 processes on 2 machines" in shown
    assert "web-1:401" in shown
    assert "web-2:401" in shown


def test_it_says_that_nothing_is_served(server: Server, top: Top) -> None:
    assert "Nothing is being served right now." in top(server.address)[1]


def test_names_cannot_steer_the_terminal(server: Server, top: Top) -> None:
    nasty = "\x1b]0;owned\x07\x1b[2J\r\n\x9b31m\u202e[bold]x[/bold]:smile:"
    requests = [live_view.request(1, nasty, age=1, method=nasty, state=nasty, fields=[nasty], values={nasty: nasty})]
    requests[0] |= {"process": nasty, "thread": {"id": 1, "name": nasty}}
    processes = [live_view.process(1), live_view.process(2, nasty, id=nasty)]
    server.answers(live_view.answer(open=requests, processes=processes, trouble=[nasty]))
    _, shown, _ = top(server.address)
    assert all(character.isprintable() for character in shown.replace("\n", ""))
    assert "\\x1b]0;owned\\x07" in shown
    assert "[bold]x[/bold]:smile:" in shown


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


@pytest.mark.parametrize("height", [8, 20, 60])
def test_a_picture_is_as_high_as_the_terminal_at_most(height: int) -> None:
    requests = [live_view.request(number, age=number) for number in range(300)]
    console = Console(width=100, height=height, force_terminal=True, file=io.StringIO())
    with console.capture() as captured:
        console.print(Picture(live_view.answer(open=requests), "http://web/", footer="q leaves"), height=height)
    lines = captured.get().splitlines()
    assert len(lines) <= height
    assert "more in flight · q leaves" in lines[-1]


TERMINAL = """
import fcntl, runpy, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # so that it gets the terminal's signals
runpy.run_module("tlctx", run_name="__main__", alter_sys=True)
"""


@contextlib.contextmanager
def at_a_terminal(
    address: str, columns: int = 60
) -> Iterator[tuple[subprocess.Popen[bytes], int, Callable[[str], None]]]:
    """The program at a terminal of its own; the terminal; and a function that waits for a text on it."""
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    before = termios.tcgetattr(theirs)
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    process = subprocess.Popen(
        [sys.executable, "-c", TERMINAL, "top", "--every=0.2", address],
        stdin=theirs, stdout=theirs, stderr=theirs, env={**environment, "TERM": "xterm"}, start_new_session=True,
    )  # fmt: skip

    def wait_for(text: str) -> None:
        seen = b""
        while text.encode() not in seen:
            seen += os.read(ours, 10_000)

    try:
        yield process, ours, wait_for
        assert termios.tcgetattr(theirs) == before
    finally:
        process.kill()
        process.wait(PATIENCE)
        os.close(ours)
        os.close(theirs)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a terminal of POSIX")
def test_it_follows_the_requests_and_the_size_of_the_terminal_until_q(server: Server) -> None:
    import fcntl
    import struct
    import termios

    server.answers(live_view.answer(open=[live_view.request(1, "/first", age=3)]))
    with at_a_terminal(server.address) as (process, terminal, wait_for):
        wait_for("GET /first")
        server.answers(live_view.answer(open=[live_view.request(2, "/second", age=3)]))
        wait_for("GET /second")
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 140, 0, 0))
        wait_for("gthread_1")  # a column that had no place before
        server.answers(status=500)
        wait_for("(status 500). What is shown is from")
        os.write(terminal, b"q")
        wait_for("\x1b[?1049l")  # the screen that was there before
        assert process.wait(PATIENCE) == 0


@pytest.mark.skipif(sys.platform == "win32", reason="needs a terminal of POSIX")
def test_ctrl_c_leaves_without_a_traceback(server: Server) -> None:
    with at_a_terminal(server.address) as (process, terminal, wait_for):
        wait_for("Nothing is being served")
        os.write(terminal, b"\x03")
        wait_for("\x1b[?1049l")
        assert process.wait(PATIENCE) == 130
        os.set_blocking(terminal, False)
        with contextlib.suppress(BlockingIOError, OSError):
            assert b"Traceback" not in os.read(terminal, 10_000)
