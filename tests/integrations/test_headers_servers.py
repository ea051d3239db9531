"""Request ids as real servers deliver them: nothing that a client sends forges a line of a log, or is an error."""

from __future__ import annotations

import contextlib
import importlib.util
import re
import shutil
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.headers import FORGED
from support.helpers import PATIENCE, missing
from support.processes import free_port, running

if TYPE_CHECKING:
    from collections.abc import Iterator

APP = """
import sys
from tlctx import ContextMiddleware, RequestContext, Scope
from tlctx.headers import Headers


class Ctx(RequestContext):
    request_id: str = "-"


class ContextApp:
    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            return
        with Scope(ctx, scope, ("method", "path")) as own:
            scope["tlctx.scopes"] = (own,)
            await self.app(scope, receive, send)


def wsgi_app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"<{ctx.request_id!r}>".encode()]


async def asgi_app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": f"<{ctx.request_id!r}>".encode()})


def serve(name, port):
    if name == "waitress":
        import waitress
        waitress.serve(inside, host="127.0.0.1", port=port)
    elif name == "cheroot":
        from cheroot.wsgi import Server
        Server(("127.0.0.1", port), inside).safe_start()
    elif name == "pywsgi":
        from gevent.pywsgi import WSGIServer
        WSGIServer(("127.0.0.1", port), inside, log=None).serve_forever()
    elif name == "wsgiref":
        from wsgiref.simple_server import make_server
        make_server("127.0.0.1", port, inside).serve_forever()


ctx = Ctx()
headers = Headers(ctx, echo=True)
inside = ContextMiddleware(headers.wsgi(wsgi_app), ctx)
outside = headers.wsgi(ContextMiddleware(wsgi_app, ctx))
asgi_inside = ContextApp(headers.asgi(asgi_app))
asgi_outside = headers.asgi(ContextApp(asgi_app))
if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
"""
VALID = re.compile(r"[A-Za-z0-9._-]{1,128}")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("app")
    (directory / "headers_app.py").write_text(APP)
    return directory


def ask(port: int, request_id: bytes) -> bytes:
    """What the server answers to a request with this very header; empty if it hangs up."""
    head = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Request-ID: " + request_id + b"\r\n\r\n"
    answer = b""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection, contextlib.suppress(ConnectionError):
        connection.sendall(head)
        while part := connection.recv(65536):
            answer += part
    return answer


def check_forged(port: int) -> None:
    """Send each forged id: the server refuses it, or the request has a new one."""
    for name, forged in FORGED.items():
        answer = ask(port, forged.encode("latin-1"))
        status = answer.split(b" ")[1] if answer else b"none"
        assert status in {b"200", b"400", b"413", b"414", b"431", b"none"}, (name, status)
        if status == b"200":
            check_answer(answer, name, forged)


def check_answer(answer: bytes, name: str, forged: str) -> None:
    head, _, body = answer.partition(b"\r\n\r\n")
    echoed = re.findall(rb"(?im)^x-request-id: ([^\r]*)\r?$", head)
    seen = re.findall(rb"<'([^']*)'>", body)
    assert len(echoed) == 1, (name, answer)
    assert echoed == seen
    assert VALID.fullmatch(seen[0].decode()), (name, seen)
    # A server may take one line of it for the whole value.
    lines = [line.strip() for line in re.split("[\r\n]+", forged)]
    assert seen[0].decode() in lines or len(seen[0]) == 32, (name, seen)


def check_server(port: int) -> None:
    assert b"<'abc-1'>" in ask(port, b"abc-1")
    check_forged(port)
    assert b"<'abc-2'>" in ask(port, b"abc-2")


@pytest.fixture(params=["inside", "outside"])
def gunicorn_log(request: pytest.FixtureRequest, directory: Path) -> Iterator[tuple[int, Path]]:
    """The port of a gunicorn, and the file of its access log, whose lines begin with the request id."""
    port, log = free_port(), directory / f"access-{request.param}.log"
    options = [
        "--worker-class=gthread", "--threads=1", f"--bind=127.0.0.1:{port}", "--log-level=critical",
        f"--access-logfile={log}", "--access-logformat=%({tlctx.request_id}e)s %(s)s",
    ]  # fmt: skip
    with running("-m", "gunicorn", *options, f"headers_app:{request.param}", port=port, cwd=directory):
        yield port, log


def test_gunicorns_access_log_has_the_request_id_and_no_forged_line(gunicorn_log: tuple[int, Path]) -> None:
    port, log = gunicorn_log
    check_server(port)
    ask(port, b"the-last")
    ask(port, b"one-more")  # by now the line before it is written
    lines = log.read_text().splitlines()
    assert "abc-1 200" in lines
    assert "the-last 200" in lines
    assert [line for line in lines if not re.fullmatch(r"([A-Za-z0-9._-]{1,128}|-) [0-9]{3}", line)] == []


@pytest.mark.parametrize("app", ["asgi_inside", "asgi_outside"])
def test_an_event_loops_server(directory: Path, app: str) -> None:
    pytest.importorskip("uvicorn")
    port = free_port()
    command = ["-m", "uvicorn", "--lifespan=off", "--log-level=critical", f"--port={port}", f"headers_app:{app}"]
    with running(*command, port=port, cwd=directory):
        check_server(port)


@pytest.mark.servers
@pytest.mark.parametrize("name", ["waitress", "cheroot", "pywsgi", "wsgiref"])
def test_servers_that_are_libraries(directory: Path, name: str) -> None:
    package = {"pywsgi": "gevent"}.get(name, name)
    if importlib.util.find_spec(package) is None:
        missing(f"the package {package}")
    port = free_port()
    with running("headers_app.py", name, str(port), port=port, cwd=directory):
        check_server(port)


@pytest.mark.servers
def test_uwsgi(directory: Path) -> None:
    program = shutil.which("uwsgi", path=Path(sys.executable).parent)
    if program is None:
        missing("uWSGI")
    port = free_port()
    options = ["--master", "--need-app", "--disable-logging", "--die-on-term", "--buffer-size=65535"]
    command = [program, f"--http-socket=127.0.0.1:{port}", *options, f"--virtualenv={sys.prefix}"]
    launch = f"import os; os.execv({program!r}, {[*command, '--module=headers_app:inside']!r})"
    with running("-c", launch, port=port, cwd=directory):
        check_server(port)
