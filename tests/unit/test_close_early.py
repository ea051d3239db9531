"""close_early: a request that ends when the application's call returns, whatever its body is."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from support.helpers import Boom, raising, start_nothing
from support.requests import Closes, Request, Sized, answer, ctx, nothing_is_current

from tlctx import ContextMiddleware, OutsideRequestError, Scope, counters
from tlctx.lowlevel import close_early

pytestmark = pytest.mark.usefixtures("nothing_is_left")


class File:
    """As a server's file wrapper."""

    def __iter__(self) -> Any:
        return iter([b"content"])


BODIES: dict[str, Any] = {
    "a generator": lambda: (chunk for chunk in [b"a"]),
    "an iterator": lambda: iter([b"a"]),
    "a body with a close": lambda: Closes([]),
    "a body with a length": lambda: Sized(b"a"),
    "a list": lambda: [b"a"],
    "a tuple": lambda: (b"a",),
    "a file": File,
    "nothing": lambda: None,
}


@pytest.mark.parametrize("teardown", [False, True], ids=["nothing to tear down", "a teardown"])
@pytest.mark.parametrize("body", BODIES)
def test_the_scope_has_ended_before_the_server_gets_the_body_which_is_the_apps_own(
    body: str, *, teardown: bool
) -> None:
    made = BODIES[body]()
    scopes: list[Any] = []
    log: list[Any] = []

    def app(environ: Any, start_response: Any) -> Any:
        ctx.user = "ann"
        scopes.append(Scope.current(ctx))
        if teardown:
            ctx.callback(lambda: log.append(ctx.user))
        close_early(ctx)
        log.append("called")
        return made

    served = ContextMiddleware(app, ctx)({"REQUEST_METHOD": "GET", "wsgi.file_wrapper": File}, start_nothing)
    assert served is made
    assert scopes[0].ended
    assert log == (["called", "ann"] if teardown else ["called"])
    assert nothing_is_current()


def test_its_own_code_may_go_on_until_the_call_returns() -> None:
    def app(environ: Any, start_response: Any) -> Any:
        close_early(ctx)
        ctx.user = "ann"
        ctx.callback(lambda: None)
        assert ctx.user == "ann"
        return iter([b"a"])

    request = Request(app)
    assert list(request()) == [b"a"]
    assert request.ended == [(None, "ann")]


def test_what_the_teardown_raises_is_the_servers_and_is_counted_once(caplog: pytest.LogCaptureFixture) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        ctx.callback(raising, Boom("the commit failed"))
        close_early(ctx)
        return iter([b"a"])

    before = counters().failed_teardowns
    with pytest.raises(Boom, match="the commit failed"):
        answer(app)
    assert counters().failed_teardowns == before + 1
    assert [record.levelname for record in caplog.records] == ["ERROR"]


def test_an_exception_after_it_reaches_the_teardown() -> None:
    def app(environ: Any, start_response: Any) -> Any:
        close_early(ctx)
        raise Boom

    request = Request(app)
    with pytest.raises(Boom):
        request()
    assert request.ended == [(Boom, None)]


def test_inside_a_scope_by_hand_it_is_the_requests() -> None:
    def app(environ: Any, start_response: Any) -> Any:
        ctx.user = "ann"
        with ctx.scope(), ctx.scope():
            close_early(ctx)
        assert ctx.user == "ann"
        return iter([b"a"])

    request = Request(app)
    request()
    assert request.ended == [(None, "ann")]


def test_a_request_inside_a_request_is_one_of_its_own() -> None:
    def inner(environ: Any, start_response: Any) -> Any:
        close_early(ctx)
        return iter([b"inner"])

    def app(environ: Any, start_response: Any) -> Any:
        ctx.user = "ann"
        assert list(answer(inner)) == [b"inner"]
        return (ctx.user.encode() for _ in range(1))

    request = Request(app)
    body = request()
    assert list(body) == [b"ann"]
    assert request.ended == []
    body.close()
    assert request.ended == [(None, "ann")]


def test_another_thread_of_the_request_may_say_it_too() -> None:
    def app(environ: Any, start_response: Any) -> Any:
        scope = Scope.current(ctx)
        assert scope is not None
        thread = threading.Thread(target=scope.run, args=(close_early, ctx))
        thread.start()
        thread.join()
        return iter([b"a"])

    request = Request(app)
    request()
    assert request.ended == [(None, None)]


def test_where_no_request_runs_it_says_so() -> None:
    with pytest.raises(OutsideRequestError, match=r"closing early on thread .* where no request is running"):
        close_early(ctx)
