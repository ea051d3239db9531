"""ContextMiddleware: transparent to the server, and the end of every request, whatever the app or the server does."""

from __future__ import annotations

import gc
import io
import logging
import re
import threading
import warnings
import weakref
import wsgiref.handlers
import wsgiref.util
import wsgiref.validate
from collections.abc import Iterator
from typing import Any

import pytest
import waitress.buffers
import werkzeug.wsgi
from gunicorn.http.wsgi import FileWrapper as GunicornFileWrapper
from support.helpers import in_thread
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.lint import LintMiddleware
from werkzeug.test import Client, create_environ

from tlctx import ContextMiddleware, OutsideRequestError, RequestContext, Scope, ctx


class Boom(Exception):
    pass


class Request:
    """One request, as a server would run it, step by step."""

    def __init__(self, app: Any, initialize: Any = None, *, context: Any = ctx, **environ: Any) -> None:
        self.started: list[Any] = []
        self.ended: list[Any] = []
        self.body: Any = None
        self.environ = {**create_environ("/path?query=s3cret"), **environ}

        def watched(environ: Any, start_response: Any) -> Any:
            scope = Scope.of(context)
            assert scope is not None
            scope.enter_context(Recorder(self.ended))
            return app(environ, start_response)

        self.middleware = ContextMiddleware(watched, context, initialize)

    def __call__(self) -> Any:
        self.body = self.middleware(self.environ, self.start_response)
        return self.body

    def start_response(self, *arguments: Any) -> Any:
        self.started.append(arguments)
        return self.started.append


class Recorder:
    """Notes the end of a scope, what it learned of, and what it could still read."""

    def __init__(self, log: list[Any]) -> None:
        self.log = log

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.log.append((kind, ctx.get("user")))


def start_nothing(*_: Any) -> Any: ...


def nothing_is_current() -> bool:
    return getattr(ctx, "user", None) is None and ctx._local__impl.dicts == {}


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    yield
    gc.collect()
    assert nothing_is_current()


def hello(environ: Any, start_response: Any) -> Any:
    ctx.user = "ann"
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


def stream(*chunks: bytes) -> Any:
    def app(environ: Any, start_response: Any) -> Any:
        ctx.user = "ann"
        start_response("200 OK", [("Content-Type", "text/plain")])

        def body() -> Iterator[bytes]:
            for chunk in chunks:
                assert ctx.user == "ann"
                yield chunk

        return body()

    return app


# What has no code left to run


@pytest.mark.parametrize("body", [[b"a"], [b"a", b"b"], [], (b"a",), None, "text", b"bytes", 5, object()], ids=repr)
def test_a_body_without_code_of_its_own_comes_back_as_it_is_with_the_scope_ended(body: Any) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        ctx.user = "ann"
        return body

    request = Request(app)
    assert request() is body
    assert request.ended == [(None, "ann")]
    assert nothing_is_current()


def test_a_teardown_that_fails_is_the_requests_failure() -> None:
    def app(environ: Any, start_response: Any) -> Any:
        ctx.callback(raising, Boom("teardown"))
        return hello(environ, start_response)

    request = Request(app)
    with pytest.raises(Boom, match="teardown"):
        request()
    assert request.ended == [(Boom, "ann")]


def raising(error: BaseException) -> None:
    raise error


# Ways out by an exception

WAYS_OUT = [Boom, StopIteration, SystemExit, KeyboardInterrupt, GeneratorExit]


@pytest.mark.parametrize("error", WAYS_OUT)
@pytest.mark.parametrize("when", ["before start_response", "after start_response", "after write"])
def test_an_exception_goes_on_to_the_server_and_the_scope_ends_with_it(error: Any, when: str) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        ctx.user = "ann"
        if when != "before start_response":
            write = start_response("200 OK", [])
            if when == "after write":
                write(b"some")
        raise error("out")

    request = Request(app)
    with pytest.raises(error, match="out"):
        request()
    assert request.ended == [(error, "ann")]


def test_the_apps_exception_goes_on_although_the_teardown_fails_too_and_that_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        ctx.callback(raising, ValueError("teardown"))
        raise Boom("app")

    with pytest.raises(Boom, match="app"):
        Request(app)()
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("tlctx", "ERROR")
    assert re.fullmatch(r"request #\d+ \(GET /path\): its teardown failed, \d+\.\d{3} s after it began", record.message)
    assert "ValueError: teardown" in caplog.text


def test_exc_info_reaches_the_server_as_the_app_gave_it() -> None:
    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        start_response("500 Oops", [], ("type", "value", "traceback"))
        return []

    request = Request(app)
    request()
    assert request.started == [("200 OK", []), ("500 Oops", [], ("type", "value", "traceback"))]


# First values


def test_the_first_values_come_from_initialize_which_runs_inside_the_scope() -> None:
    def initialize(environ: Any) -> Any:
        ctx.enter_context(Recorder(log))
        return {"user": environ["PATH_INFO"]}

    log: list[Any] = []
    request = Request(lambda environ, start_response: [ctx.user.encode()], initialize)
    assert request() == [b"/path"]
    assert log == [(None, "/path")]


@pytest.mark.parametrize("returned", [None, 5, "user", [("user", 1)]], ids=repr)
def test_an_initialize_that_returns_no_mapping_is_told_so(returned: Any) -> None:
    request = Request(hello, lambda environ: returned)
    with pytest.raises(TypeError, match="first values must be a mapping from names, not"):
        request()
    assert request.ended == []
    assert nothing_is_current()


@pytest.mark.parametrize("error", WAYS_OUT)
def test_an_initialize_that_raises_ends_the_scope(error: Any) -> None:
    log: list[Any] = []

    def initialize(environ: Any) -> Any:
        ctx.user = "ann"
        ctx.enter_context(Recorder(log))
        raise error

    with pytest.raises(error):
        Request(hello, initialize)()
    assert log == [(error, "ann")]


def test_what_is_no_app_no_context_or_no_function_is_refused() -> None:
    wrong: Any
    for wrong in (None, 5, "app"):
        with pytest.raises(TypeError, match="app must be a WSGI application, a callable, not"):
            ContextMiddleware(wrong, ctx)
    for wrong in (None, {}, threading.local()):
        with pytest.raises(TypeError, match="context must be a RequestContext, not"):
            ContextMiddleware(hello, wrong)
    wrong = RequestContext
    with pytest.raises(TypeError, match="give an instance, not the class"):
        ContextMiddleware(hello, wrong)
    wrong = {}
    with pytest.raises(TypeError, match="initialize must be a function of the environ, not dict"):
        ContextMiddleware(hello, ctx, wrong)


# Streams


def test_a_streams_scope_is_bound_around_each_step_and_to_nothing_in_between() -> None:
    request = Request(stream(b"a", b"b"))
    body = request()
    steps = iter(body)
    for chunk in (b"a", b"b"):
        assert nothing_is_current()
        assert next(steps) == chunk
    assert nothing_is_current()
    with pytest.raises(StopIteration):
        next(steps)
    assert request.ended == []
    body.close()
    assert request.ended == [(None, "ann")]


def test_streams_taken_in_turn_on_one_thread_each_see_their_own() -> None:
    def app(environ: Any, start_response: Any) -> Any:
        ctx.user = environ["user"]

        def body() -> Iterator[bytes]:
            for number in range(3):
                yield ctx.user.encode()
                ctx.user = f"{environ['user']}{number}"

        return body()

    bodies = [Request(app, user=user)() for user in ("ann", "bob", "eve")]
    taken = list(zip(*bodies, strict=True))
    assert taken == [(b"ann", b"bob", b"eve"), (b"ann0", b"bob0", b"eve0"), (b"ann1", b"bob1", b"eve1")]
    for body in reversed(bodies):
        body.close()


def test_a_stream_goes_on_and_is_closed_on_another_thread() -> None:
    request = Request(stream(b"a", b"b"))
    body = request()
    assert next(iter(body)) == b"a"
    assert in_thread(lambda: next(body)) == b"b"
    in_thread(body.close)
    assert request.ended == [(None, "ann")]


def test_close_runs_the_bodys_own_close_first_inside_the_scope() -> None:
    log: list[Any] = []

    def app(environ: Any, start_response: Any) -> Any:
        ctx.user = "ann"
        ctx.callback(log.append, "end")
        return Closes(log)

    body = Request(app)()
    assert list(body) == [b"a"]
    body.close()
    assert log == [("close", "ann"), "end"]


def test_a_second_close_reaches_the_body_as_without_the_middleware_and_ends_nothing_twice() -> None:
    class Body(list[bytes]):
        def close(self) -> None:
            log.append("close")

    log: list[Any] = []
    request = Request(lambda environ, start_response: Body())
    body = request()
    body.close()
    body.close()
    assert (log, request.ended) == (["close", "close"], [(None, None)])


@pytest.mark.parametrize("error", [Boom, SystemExit, KeyboardInterrupt, GeneratorExit])
@pytest.mark.parametrize("steps", [0, 1])
def test_a_stream_that_raises_tells_the_teardown_when_it_is_closed(error: Any, steps: int) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        ctx.user = "ann"

        def body() -> Iterator[bytes]:
            for _ in range(steps):
                yield b"chunk"
            raise error

        return body()

    request = Request(app)
    body = request()
    with pytest.raises(error):
        list(body)
    assert nothing_is_current()
    body.close()
    assert request.ended == [(error, "ann")]


@pytest.mark.parametrize("error", [Boom, SystemExit, KeyboardInterrupt])
def test_a_close_that_raises_ends_the_scope_with_that(error: Any) -> None:
    class Body(list[bytes]):
        def close(self) -> None:
            raise error

    def app(environ: Any, start_response: Any) -> Any:
        ctx.user = "ann"
        return Body([b"a"])

    request = Request(app)
    body = request()
    with pytest.raises(error):
        body.close()
    assert request.ended == [(error, "ann")]
    assert nothing_is_current()


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_what_may_end_the_process_ends_the_scope_before_it_goes_on_and_the_bodys_close_runs_once(
    error: type[BaseException],
) -> None:
    class Body(Closes):
        def __iter__(self) -> Iterator[bytes]:
            raise error

    def app(environ: Any, start_response: Any) -> Any:
        ctx.user = "ann"
        return Body(closed)

    closed: list[Any] = []
    request = Request(app)
    with pytest.raises(error):
        next(request())
    assert nothing_is_current()
    assert (closed, request.ended) == ([("close", "ann")], [(error, "ann")])
    request.body.close()
    assert (closed, request.ended) == ([("close", "ann")], [(error, "ann")])


def test_a_stream_that_is_used_after_its_end_behaves_as_without_the_middleware() -> None:
    body = Request(stream(b"a", b"b"))()
    steps = iter(body)
    next(steps)
    body.close()
    assert list(steps) == []
    body.close()


def test_a_body_that_reads_the_context_after_its_end_gets_an_error_not_somebody_elses_values() -> None:
    class Body:
        def __iter__(self) -> Iterator[bytes]:
            return self

        def __next__(self) -> bytes:
            return str(ctx.user).encode()

    def app(environ: Any, start_response: Any) -> Any:
        ctx.user = "ann"
        return Body()

    body = Request(app)()
    assert next(body) == b"ann"
    body.close()
    with pytest.raises(OutsideRequestError):
        next(body)


class Sized:
    def __init__(self, *chunks: bytes) -> None:
        self.chunks = chunks

    def __len__(self) -> int:
        assert ctx.user == "ann"
        return len(self.chunks)

    def __getitem__(self, number: int) -> bytes:
        assert ctx.user == "ann"
        return self.chunks[number]


def test_a_length_is_there_exactly_when_the_body_has_one() -> None:
    def app(environ: Any, start_response: Any) -> Any:
        ctx.user = "ann"
        return Sized(b"a", b"b")

    body = Request(app)()
    assert (len(body), list(body), list(body)) == (2, [b"a", b"b"], [b"a", b"b"])
    body.close()
    body = Request(stream(b"a"))()
    assert not hasattr(body, "__len__")
    body.close()


def test_a_length_that_is_not_known_is_no_failure() -> None:
    class Unknown(Sized):
        def __len__(self) -> int:
            raise TypeError("not known")

    def app(environ: Any, start_response: Any) -> Any:
        ctx.user = "ann"
        return Unknown(b"a")

    request = Request(app)
    body = request()
    with pytest.raises(TypeError, match="not known"):
        len(body)
    body.close()
    assert request.ended == [(None, "ann")]


def test_an_empty_stream_and_one_never_touched_end_too() -> None:
    for take in (list, lambda body: body):
        request = Request(stream())
        take(request())
        request.body.close()
        assert request.ended == [(None, "ann")]


# Bodies that the server drops


class Closes:
    def __init__(self, log: list[Any]) -> None:
        self.log = log

    def __iter__(self) -> Iterator[bytes]:
        yield b"a"

    def close(self) -> None:
        self.log.append(("close", ctx.user))


@pytest.mark.parametrize("where", [lambda drop: drop(), in_thread], ids=["same-thread", "another-thread"])
@pytest.mark.parametrize("in_a_cycle", [False, True], ids=["counted", "collected"])
def test_a_dropped_body_ends_its_scope_and_leaves_the_one_alone_that_is_current_there(
    where: Any, caplog: pytest.LogCaptureFixture, *, in_a_cycle: bool
) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        ctx.user = "ann"
        ctx.body = body = Closes(closed)
        if in_a_cycle:
            body.itself = body  # type: ignore[attr-defined]
        return body

    def drop() -> None:
        with ctx.scope(user="current"):
            if in_a_cycle:
                bodies[0].cycle = [bodies]
            bodies.clear()
            request.__dict__.pop("body")
            gc.collect()
            assert ctx.user == "current"

    closed: list[Any] = []
    request = Request(app)

    class Holder(list[Any]):
        pass

    bodies = Holder([Holder([request()])])
    where(drop)
    assert request.ended == [(None, "ann")]
    assert closed == [("close", "ann")]
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("tlctx", logging.WARNING)
    assert "(GET /path): the server dropped its body without close()" in record.getMessage()
    assert "s3cret" not in caplog.text


def test_what_fails_while_a_dropped_body_is_closed_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        ctx.callback(raising, Boom("teardown"))
        return iter([b"a"])

    request = Request(app)
    request()
    del request.body
    assert [record.levelname for record in caplog.records] == ["WARNING", "ERROR"]
    assert "Boom: teardown" in caplog.text
    assert request.ended == [(Boom, None)]


# File wrappers


class TakesNoAttributes:
    __slots__ = ("file",)

    def __init__(self, file: Any, size: int = 0) -> None:
        self.file = file

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.file)


FILE_WRAPPERS: dict[str, Any] = {
    "wsgiref": wsgiref.util.FileWrapper,
    "werkzeug": werkzeug.wsgi.FileWrapper,
    "gunicorn": GunicornFileWrapper,
    "waitress": waitress.buffers.ReadOnlyFileBasedBuffer,
}


def send_file(environ: Any, start_response: Any) -> Any:
    ctx.user = "ann"
    environ["opened"] = io.BytesIO(b"content")
    return environ["wsgi.file_wrapper"](environ["opened"])


@pytest.mark.parametrize("server", FILE_WRAPPERS)
def test_a_servers_file_wrapper_comes_back_as_it_is_and_its_end_ends_the_scope(server: str) -> None:
    wrapper = FILE_WRAPPERS[server]
    request = Request(send_file, **{"wsgi.file_wrapper": wrapper})
    body = request()
    assert type(body) is wrapper
    assert nothing_is_current()
    assert (request.ended, request.environ["opened"].closed) == ([], False)
    in_thread(body.close)
    assert (request.ended, request.environ["opened"].closed) == ([(None, "ann")], True)
    body.close()
    assert len(request.ended) == 1


@pytest.mark.parametrize("server", FILE_WRAPPERS)
def test_a_dropped_file_wrapper_goes_at_once_and_ends_the_scope(server: str, caplog: pytest.LogCaptureFixture) -> None:
    request = Request(send_file, **{"wsgi.file_wrapper": FILE_WRAPPERS[server]})
    gc.disable()
    try:
        request()
        del request.body
        assert request.ended == [(None, "ann")]
    finally:
        gc.enable()
    assert "(GET /path): the server dropped its body without close()" in caplog.text


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


# Requests inside requests


def test_applied_twice_the_inner_one_joins_the_outers_scope() -> None:
    scopes: list[Any] = []

    def initialize(environ: Any) -> Any:
        scopes.append(Scope.of(ctx))
        return {"user": "ann"}

    def inner(environ: Any, start_response: Any) -> Any:
        scopes.append(Scope.of(ctx))
        start_response("200 OK", [])
        return [ctx.user.encode()]

    mounted = DispatcherMiddleware(hello, {"/sub": ContextMiddleware(inner, ctx, initialize)})
    client = Client(ContextMiddleware(ContextMiddleware(mounted, ctx, initialize), ctx, initialize))
    assert client.get("/sub", buffered=True).data == b"ann"
    assert len(scopes) == 2
    assert scopes[0] is scopes[1]


def test_a_request_made_inside_a_request_gets_its_own_scope_also_while_it_streams() -> None:
    sub = ContextMiddleware(stream(b"s1", b"s2"), ctx)

    def app(environ: Any, start_response: Any) -> Any:
        ctx.user = "outer"
        body: Any = sub(create_environ("/sub"), start_nothing)
        assert ctx.user == "outer"

        def chunks() -> Iterator[bytes]:
            for chunk in body:
                assert ctx.user == "outer"
                yield chunk
            body.close()

        return chunks()

    request = Request(app)
    assert list(request()) == [b"s1", b"s2"]
    request.body.close()
    assert request.ended == [(None, "outer")]


@pytest.mark.parametrize("change", [{"PATH_INFO": "/other"}, {"REQUEST_METHOD": "POST"}, {"wsgi.input": io.BytesIO()}])
def test_a_request_made_inside_with_a_copy_of_the_environ_gets_its_own_scope(change: dict[str, Any]) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        if "inner" in environ:
            assert not hasattr(ctx, "user")
            ctx.user = "inner"
            return []
        ctx.user = "outer"
        request.middleware({**environ, **change, "inner": True}, start_nothing)
        return [ctx.user]

    request = Request(app)
    assert request() == ["outer"]
    assert request.ended == [(None, "inner"), (None, "outer")]


def test_the_same_request_is_joined_also_with_a_copy_of_the_environ_and_a_moved_script_name() -> None:
    def app(environ: Any, start_response: Any) -> Any:
        if "inner" in environ:
            return [ctx.user]
        ctx.user = "outer"
        mounted = {**environ, "SCRIPT_NAME": "/path", "PATH_INFO": "", "inner": True}
        return ContextMiddleware(app, ctx)(mounted, start_nothing)

    assert Request(app)() == ["outer"]


def test_an_environ_used_again_after_its_request_ended_gets_a_new_scope() -> None:
    request = Request(hello)
    request()
    request.started.clear()
    assert request() == [b"hello"]
    assert len(request.ended) == 2


def test_two_contexts_nested_each_see_their_own() -> None:
    class Other(RequestContext):
        user: str = "other"

    other = Other()

    def app(environ: Any, start_response: Any) -> Any:
        scopes = environ["tlctx.scopes"]
        assert scopes == (Scope.of(ctx), Scope.of(other))
        start_response("200 OK", [])
        return [f"{ctx.user} {other.user}".encode()]

    outer = ContextMiddleware(ContextMiddleware(app, other), ctx, lambda environ: {"user": "ann"})
    assert Client(outer).get("/", buffered=True).data == b"ann other"
    assert Scope.of(other) is None


# What the server can see


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
