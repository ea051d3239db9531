"""Files: the server gets its own file wrapper back, and the scope ends with it."""

from __future__ import annotations

import io
import wsgiref.handlers
import wsgiref.util
import wsgiref.validate
from collections.abc import Iterator
from typing import Any

import pytest
import werkzeug.wsgi
from support.files import check_a_file_that_is_closed, check_a_file_that_is_dropped
from support.requests import Request, send_file, stream

from tlctx import ctx

pytestmark = pytest.mark.usefixtures("nothing_is_left")


class TakesNoAttributes:
    __slots__ = ("file",)

    def __init__(self, file: Any, size: int = 0) -> None:
        self.file = file

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.file)


FILE_WRAPPERS: dict[str, Any] = {
    "wsgiref": wsgiref.util.FileWrapper,
    "werkzeug": werkzeug.wsgi.FileWrapper,
}


@pytest.mark.parametrize("server", FILE_WRAPPERS)
def test_a_servers_file_wrapper_comes_back_as_it_is_and_its_end_ends_the_scope(server: str) -> None:
    check_a_file_that_is_closed(FILE_WRAPPERS[server])


@pytest.mark.parametrize("server", FILE_WRAPPERS)
def test_a_dropped_file_wrapper_goes_at_once_and_ends_the_scope(server: str, caplog: pytest.LogCaptureFixture) -> None:
    check_a_file_that_is_dropped(FILE_WRAPPERS[server], caplog)


def test_a_file_wrapper_that_takes_no_attributes_comes_back_as_it_is_with_the_scope_ended(
    caplog: pytest.LogCaptureFixture,
) -> None:
    request = Request(send_file, **{"wsgi.file_wrapper": TakesNoAttributes})
    assert type(request()) is TakesNoAttributes
    assert request.ended == [(None, "ann")]
    assert caplog.records == []


def test_a_file_wrapper_that_is_a_function_gets_back_the_very_object_it_made() -> None:
    made: list[Any] = []

    def file_wrapper_of_uwsgi(file: Any, size: int = 0) -> Any:
        return file

    def file_wrapper_of_mod_wsgi(file: Any, size: int = 0) -> Any:
        made.append(TakesNoAttributes(file))
        return made[-1]

    request = Request(send_file, **{"wsgi.file_wrapper": file_wrapper_of_uwsgi})
    assert request() is request.environ["opened"]
    assert request.ended == [(None, "ann")]
    request = Request(send_file, **{"wsgi.file_wrapper": file_wrapper_of_mod_wsgi})
    assert request() is made[-1]
    assert request.ended == [(None, "ann")]


def test_where_the_file_wrapper_is_a_function_other_bodies_are_streams_also_with_a_read_method() -> None:
    class Readable:
        def read(self) -> bytes:
            return b""

        def __iter__(self) -> Iterator[bytes]:
            yield str(ctx.user).encode()

    def app(environ: Any, start_response: Any) -> Any:
        ctx.user = "ann"
        return Readable()

    for streaming in (app, stream(b"ann")):
        request = Request(streaming, **{"wsgi.file_wrapper": lambda file, size=0: file})
        assert list(request()) == [b"ann"]
        assert request.ended == []
        request.body.close()
        assert request.ended == [(None, "ann")]


def test_without_a_file_wrapper_a_file_is_a_stream_like_any_other() -> None:
    def app(environ: Any, start_response: Any) -> Any:
        ctx.user = "ann"
        return io.BytesIO(b"one\ntwo\n")

    request = Request(app)
    request.environ.pop("wsgi.file_wrapper", None)
    assert list(request()) == [b"one\n", b"two\n"]
    request.body.close()
    assert request.ended == [(None, "ann")]
