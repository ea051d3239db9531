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

from tlctx import Scope, ctx

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


class Closing:
    """A file wrapper that notes what it can read when it is closed."""

    def __init__(self, file: Any, size: int = 0) -> None:
        self.file = file

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.file)

    def close(self) -> None:
        closed.append((ctx.get("user") if Scope.current(ctx) else "over", len(ended)))


closed: list[Any] = []
ended: list[Any] = []


def test_a_file_is_closed_before_its_scope_ends_and_each_close_reaches_it() -> None:
    def app(environ: Any, start_response: Any) -> Any:
        body = send_file(environ, start_response)
        ctx.callback(ended.append, "ended")
        return body

    closed.clear()
    ended.clear()
    body = Request(app, **{"wsgi.file_wrapper": Closing})()
    body.close()
    assert (closed, ended) == ([("ann", 0)], ["ended"])
    body.close()
    assert (closed, ended) == ([("ann", 0), ("over", 1)], ["ended"])


def test_a_file_wrapper_without_a_close_of_its_own_may_be_closed_twice() -> None:
    class Wrapper:
        def __init__(self, file: Any, size: int = 0) -> None: ...

        def __iter__(self) -> Iterator[bytes]:
            return iter(())

    request = Request(send_file, **{"wsgi.file_wrapper": Wrapper})
    body = request()
    body.close()
    body.close()
    assert request.ended == [(None, "ann")]


class EqualToAll(TakesNoAttributes):
    __slots__ = ()
    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return True


def test_a_body_that_only_claims_to_be_what_the_file_wrapper_made_is_a_stream() -> None:
    def app(environ: Any, start_response: Any) -> Any:
        send_file(environ, start_response)
        return EqualToAll([b"a"])

    request = Request(app, **{"wsgi.file_wrapper": lambda file, size=0: EqualToAll(file)})
    body = request()
    assert request.ended == []
    assert list(body) == [b"a"]
    body.close()
    assert request.ended == [(None, "ann")]


def test_a_close_that_is_another_objects_method_is_called_as_that() -> None:
    class Closer(EqualToAll):
        def close(self) -> None:
            closed_by.append(self)

    class Wrapper:
        def __init__(self, file: Any, size: int = 0) -> None:
            self.close = closer.close

        def __iter__(self) -> Iterator[bytes]:
            return iter(())

    closed_by: list[Any] = []
    closer = Closer(None)
    request = Request(send_file, **{"wsgi.file_wrapper": Wrapper})
    request().close()
    assert [each is closer for each in closed_by] == [True]
    assert request.ended == [(None, "ann")]


def test_a_file_wrapper_that_refuses_attributes_with_a_type_error_ends_its_scope_at_once() -> None:
    class Refuses(TakesNoAttributes):
        def __setattr__(self, name: str, value: Any) -> None:
            if name == "close":
                raise TypeError
            super().__setattr__(name, value)

    request = Request(send_file, **{"wsgi.file_wrapper": Refuses})
    assert type(request()) is Refuses
    assert request.ended == [(None, "ann")]
