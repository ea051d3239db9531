"""What the server and the client can see: the same bytes, and no value of a field."""

from __future__ import annotations

import gc
import io
import re
import warnings
import weakref
import wsgiref.handlers
import wsgiref.util
import wsgiref.validate
from typing import Any

import pytest
from support.helpers import start_nothing
from support.requests import Request, Sized, hello, stream
from werkzeug.middleware.lint import LintMiddleware
from werkzeug.test import create_environ

from tlctx import ContextMiddleware, ctx

pytestmark = pytest.mark.usefixtures("nothing_is_left")


def test_the_environ_has_string_keys_and_no_value_of_a_field() -> None:
    request = Request(hello, lambda environ: {"password": "s3cret value"})
    request()
    added = {key: value for key, value in request.environ.items() if key not in create_environ("/path")}
    assert all(isinstance(key, str) and key.startswith("tlctx.") for key in added)
    assert "(<ended request #" in str(added)
    assert "s3cret" not in str(added)


def test_environ_body_and_scope_are_freed_without_the_collector() -> None:
    class Environ(dict[str, Any]):
        pass

    gc.disable()
    try:
        for app in (hello, stream(b"a")):
            environ = Environ(create_environ("/"))
            body: Any = ContextMiddleware(app, ctx)(environ, start_nothing)
            references = [weakref.ref(environ), weakref.ref(environ["tlctx.scopes"][0])]
            list(body)
            getattr(body, "close", lambda: None)()
            del environ, body
            assert [reference() for reference in references] == [None, None]
    finally:
        gc.enable()


def send_by_write(environ: Any, start_response: Any) -> Any:
    ctx.user = "ann"
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    write(b"hel")
    return [b"lo"]


APPS: dict[str, Any] = {
    "list": lambda environ, start_response: [*hello(environ, start_response), b"!"],
    "one-item list": hello,
    "tuple": lambda environ, start_response: tuple(hello(environ, start_response)),
    "empty list": lambda environ, start_response: hello(environ, start_response)[:0],
    "stream": stream(b"hel", b"lo"),
    "empty stream": stream(),
    "one block, sized": lambda environ, start_response: hello(environ, start_response) and Sized(b"hello"),
    "two blocks, sized": lambda environ, start_response: hello(environ, start_response) and Sized(b"hel", b"lo"),
    "write": send_by_write,
    "file wrapper": lambda environ, start_response: (
        hello(environ, start_response) and environ["wsgi.file_wrapper"](io.BytesIO(b"hello"))
    ),
}


def answer_of(app: Any) -> bytes:
    """What a client receives, status line and headers included, from the server in the standard library."""
    received = io.BytesIO()
    environ = create_environ("/")
    server = wsgiref.handlers.SimpleHandler(io.BytesIO(), received, io.StringIO(), environ)
    server.http_version = "1.1"
    server.run(app)
    return re.sub(rb"Date: .*", b"Date: then", received.getvalue())


@pytest.mark.parametrize("app", APPS)
def test_the_client_receives_the_same_bytes_without_the_middleware(app: str) -> None:
    with ctx.scope():
        bare = answer_of(APPS[app])
    assert b" 200 OK\r\n" in bare
    assert answer_of(ContextMiddleware(APPS[app], ctx)) == bare


@pytest.mark.parametrize("app", [name for name in APPS if "sized" not in name and "tuple" not in name])
@pytest.mark.parametrize("lint", [LintMiddleware, wsgiref.validate.validator], ids=["werkzeug", "wsgiref"])
def test_linters_on_both_sides_find_nothing(app: str, lint: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        answer = answer_of(lint(ContextMiddleware(lint(APPS[app]), ctx)))
    assert b" 200 OK\r\n" in answer
