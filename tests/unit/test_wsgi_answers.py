"""ContextMiddleware: the scope ends with an answer that has no code left to run, and with an exception."""

from __future__ import annotations

import re
import threading
from typing import Any

import pytest
from support.helpers import Boom, raising, start_nothing
from support.requests import Recorder, Request, hello, nothing_is_current
from werkzeug.test import create_environ

from tlctx import ContextMiddleware, RequestContext, ctx

pytestmark = pytest.mark.usefixtures("nothing_is_left")


@pytest.mark.parametrize(
    "body", [[b"a"], [b"a", b"b"], [], (b"a",), None, "text", b"bytes", 5, object()], ids="{0!r:.7}".format
)
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


def test_the_first_values_are_assigned_after_the_contexts_init() -> None:
    class Begins(RequestContext):
        user: str = "nobody"

        def __init__(self) -> None:
            self.seen = self.user
            self.user = "of init"

    def app(environ: Any, start_response: Any) -> Any:
        return [begins.seen, begins.user]

    begins = Begins()
    middleware = ContextMiddleware(app, begins, lambda environ: {"user": f"after {begins.user}"})
    answer: Any = middleware(create_environ("/"), start_nothing)
    assert answer == ["nobody", "after of init"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_may_end_the_process_goes_on_also_out_of_the_teardown_of_a_request_that_failed(error: Any) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        ctx.callback(raising, error("teardown"))
        raise Boom("app")

    with pytest.raises(error, match="teardown") as raised:
        Request(app)()
    assert isinstance(raised.value.__context__, Boom)
