"""The WSGI middleware: where the request id goes, inside of the ContextMiddleware and outside of it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from support.headers import FORGED, HeadersCtx, assigner_removed_after, get_answer, seen_by
from support.helpers import in_thread, start_nothing
from werkzeug.test import create_environ

from tlctx import ContextMiddleware, RequestContext, Scope
from tlctx.headers import Headers, _rules, counters
from tlctx.lowlevel import assigned_values

if TYPE_CHECKING:
    from collections.abc import Iterator

Mount = Any


@pytest.fixture(autouse=True)
def _the_assigner_is_removed() -> Iterator[None]:
    with assigner_removed_after():
        yield


@pytest.fixture
def ctx() -> Any:
    return HeadersCtx()


@pytest.fixture(params=["inside", "outside", "both"])
def mount(request: pytest.FixtureRequest) -> Mount:
    """Mounts a headers middleware inside of the context's, outside of it, or both."""

    def mount(app: Any, headers: Headers, initialize: Any = None) -> Any:
        inner = app if request.param == "outside" else headers.wsgi(app)
        served = ContextMiddleware(inner, headers.ctx, initialize)
        return served if request.param == "inside" else headers.wsgi(served)

    return mount


def test_a_valid_request_id_is_in_the_context_and_in_the_environ(ctx: Any, mount: Mount) -> None:
    app, seen = seen_by(ctx)
    before = counters()
    assert get_answer(mount(app, Headers(ctx)), "abc-1").text == "answer"
    assert seen == [("abc-1", "abc-1")]
    assert counters() == before


def test_without_one_each_request_gets_a_new_one(ctx: Any, mount: Mount) -> None:
    app, seen = seen_by(ctx)
    application, before = mount(app, Headers(ctx)), counters()
    get_answer(application)
    get_answer(application)
    (first, in_environ), (second, _) = seen
    assert first == in_environ != second
    assert _rules.is_request_id(first)
    assert counters() == before


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
def test_a_forged_one_is_replaced_and_counted_and_no_error_to_the_client(ctx: Any, mount: Mount, forged: str) -> None:
    app, seen = seen_by(ctx)
    before = counters()
    answer = get_answer(mount(app, Headers(ctx, echo=True)), forged)
    assert answer.status == "200 OK"
    ((request_id, in_environ),) = seen
    assert request_id == in_environ == answer.headers["X-Request-ID"] != forged
    assert _rules.is_request_id(request_id)
    assert counters().request_ids == before.request_ids + 1


def test_it_is_echoed_if_asked_for(ctx: Any, mount: Mount) -> None:
    app, _ = seen_by(ctx)
    assert "X-Request-ID" not in get_answer(mount(app, Headers(ctx)), "abc").headers
    assert get_answer(mount(app, Headers(ctx, echo=True)), "abc").headers.getlist("X-Request-ID") == ["abc"]


def test_an_applications_own_header_is_left_as_it_is(ctx: Any, mount: Mount) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [("x-request-id", "own")])
        return []

    assert get_answer(mount(app, Headers(ctx, echo=True)), "abc").headers.getlist("X-Request-ID") == ["own"]


def test_the_list_that_the_application_passed_stays_as_it_was(ctx: Any, mount: Mount) -> None:
    own = [("Content-Type", "text/plain")]

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", own)
        return []

    get_answer(mount(app, Headers(ctx, echo=True)))
    assert own == [("Content-Type", "text/plain")]


def test_start_response_is_the_servers_own_where_nothing_is_echoed(ctx: Any) -> None:
    def start_response(*arguments: Any) -> Any: ...

    given: list[Any] = []

    def app(environ: Any, start: Any) -> Any:
        given.append(start)
        return []

    Headers(ctx).wsgi(app)(create_environ(), start_response)
    assert given == [start_response]


def test_an_echoing_start_response_hands_on_the_exception_and_the_write_function(ctx: Any) -> None:
    calls: list[Any] = []

    def start_response(*arguments: Any) -> Any:
        calls.append(arguments)
        return calls.append

    def app(environ: Any, start: Any) -> Any:
        start("200 OK", [])
        write = start("500 Error", [], (ValueError, ValueError(), None))
        write(b"written")
        return []

    Headers(ctx, echo=True).wsgi(app)({"HTTP_X_REQUEST_ID": "abc"}, start_response)
    assert [len(call) for call in calls[:2]] == [2, 3]
    assert calls[1][:2] == ("500 Error", [("X-Request-ID", "abc")])
    assert calls[2] == b"written"


def test_another_header_and_another_field(mount: Mount) -> None:
    class Ctx(RequestContext):
        correlation: str

    ctx = Ctx()
    seen: list[str] = []

    def app(environ: Any, start_response: Any) -> Any:
        seen.append(ctx.correlation)
        start_response("200 OK", [])
        return []

    headers = Headers(ctx, "correlation", request_id_header="Correlation-Id", echo=True)
    answer = get_answer(mount(app, headers), HTTP_CORRELATION_ID="abc")
    assert (seen, answer.headers["Correlation-Id"]) == (["abc"], "abc")


def test_without_a_field_it_is_in_the_environ_alone(ctx: Any, mount: Mount) -> None:
    app, seen = seen_by(ctx)
    get_answer(mount(app, Headers(ctx, None)), "abc")
    assert seen == [("-", "abc")]


def test_it_is_there_in_a_stream_and_in_the_teardown(ctx: Any, mount: Mount) -> None:
    seen: list[str] = []

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        ctx.callback(lambda: seen.append(f"end of {ctx.request_id}"))
        return (ctx.request_id.encode() for _ in range(2))

    application = mount(app, Headers(ctx))
    bodies = [application({"HTTP_X_REQUEST_ID": name}, start_nothing) for name in ("ann", "bob")]
    steps = [iter(body) for body in bodies]
    assert [next(step) for step in steps + steps] == [b"ann", b"bob", b"ann", b"bob"]
    for body in bodies:
        body.close()
    assert seen == ["end of ann", "end of bob"]


def test_threads_do_not_see_each_others(ctx: Any, mount: Mount) -> None:
    app, seen = seen_by(ctx)
    application = mount(app, Headers(ctx))
    for name in ("ann", "bob", "ann"):
        in_thread(partial(get_answer, application, name))
    assert [request_id for request_id, _ in seen] == ["ann", "bob", "ann"]


def test_what_a_copy_of_the_request_begins_with_has_it(ctx: Any, mount: Mount) -> None:
    copies: list[Any] = []

    def app(environ: Any, start_response: Any) -> Any:
        scope = Scope.current(ctx)
        assert scope is not None
        copies.append(assigned_values(scope))
        start_response("200 OK", [])
        return []

    get_answer(mount(app, Headers(ctx)), "abc")
    assert copies[0]["request_id"] == "abc"
    in_thread(lambda: enter_and_note(ctx, copies))
    assert copies[1] == "abc"


def enter_and_note(ctx: Any, copies: list[Any]) -> None:
    with ctx.scope(**copies[0]):
        copies.append(ctx.request_id)


def test_a_request_inside_a_request_has_its_own_and_the_outer_keeps_its_own(ctx: Any, mount: Mount) -> None:
    inner_app, inner_seen = seen_by(ctx)
    headers = Headers(ctx)
    inner = mount(inner_app, headers)
    seen: list[str] = []

    def app(environ: Any, start_response: Any) -> Any:
        get_answer(inner, "inner")
        get_answer(inner)
        seen.append(ctx.request_id)
        start_response("200 OK", [])
        return []

    get_answer(mount(app, headers), "outer")
    assert seen == ["outer"]
    assert inner_seen[0] == ("inner", "inner")
    assert inner_seen[1][0] not in ("inner", "outer")


def test_a_request_passed_on_inside_with_a_copy_of_its_environ_keeps_its_id(ctx: Any, mount: Mount) -> None:
    inner_app, inner_seen = seen_by(ctx)
    headers = Headers(ctx)
    inner = mount(inner_app, headers)
    seen: list[str] = []

    def app(environ: Any, start_response: Any) -> Any:
        seen.append(ctx.request_id)
        return inner({**environ, "PATH_INFO": "/other"}, start_response)

    get_answer(mount(app, headers))
    assert inner_seen == [(seen[0], seen[0])]


def test_an_id_that_a_server_put_into_the_environ_is_not_trusted(ctx: Any, mount: Mount) -> None:
    app, seen = seen_by(ctx)
    get_answer(mount(app, Headers(ctx)), **{"tlctx.request_id": "forged\nline"})
    assert _rules.is_request_id(seen[0][0])


def test_what_the_environ_holds_beside_the_id_shows_no_value(ctx: Any, mount: Mount) -> None:
    environ = create_environ() | {"HTTP_X_REQUEST_ID": "s3cret"}
    app, _ = seen_by(ctx)
    mount(app, Headers(ctx))(environ, start_nothing)
    texts = [f"{key} {environ[key]!s} {environ[key]!r}" for key in environ if key.startswith("tlctx.")]
    assert len(texts) == 3
    assert [text for text in texts if "s3cret" in text] == ["tlctx.request_id s3cret 's3cret'"]
