"""Metrics: which requests are counted, as what, and that nothing in them can block a request."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from support.asgi import answer, serve, websocket_scope, within
from support.helpers import PATIENCE, Boom, in_thread, start_nothing
from support.metrics import Kept
from support.requests import REQUEST, ctx, hello, stream

import tlctx
from tlctx import ContextMiddleware, RequestContext, Scope, metrics
from tlctx.lowlevel import bound
from tlctx.threads import snapshot

pytestmark = pytest.mark.usefixtures("nothing_is_left")


class OtherCtx(RequestContext):
    user: str = "nobody"


@pytest.fixture
def kept() -> Iterator[Kept]:
    metrics = Kept()
    yield metrics
    metrics.close()


def request(app: Any = hello, **environ: Any) -> Any:
    """The body of a request that was begun."""
    return ContextMiddleware(app, ctx)({**REQUEST, **environ}, start_nothing)


def fail(environ: Any, start_response: Any) -> Any:
    raise environ["error"]


def test_a_request_is_counted_once_it_has_ended_with_its_method_and_how_it_ended(kept: Kept) -> None:
    request()
    request(REQUEST_METHOD="POST")
    for error in (Boom(), SystemExit()):
        with pytest.raises(type(error)):
            request(fail, error=error)
    assert kept.names() == [
        ("GET", "", "ok"), ("POST", "", "ok"), ("GET", "", "error"), ("GET", "", "aborted"),
    ]  # fmt: skip
    assert all(0 <= ended.seconds < PATIENCE for ended in kept.ended)


@pytest.mark.parametrize("method", ["get", "BREW", "WEBSOCKET", "GET\n", "", "x" * 10_000])
def test_a_method_that_is_none_of_http_s_is_no_label_of_its_own(method: str, kept: Kept) -> None:
    request(REQUEST_METHOD=method)
    assert kept.names() == [("_OTHER", "", "ok")]


def test_a_path_is_never_a_label_and_the_route_is_one(kept: Kept) -> None:
    request(PATH_INFO="/notes/7")
    request(PATH_INFO="/notes/7", **{"tlctx.route": "/notes/<id>"})
    assert kept.names() == [("GET", "", "ok"), ("GET", "/notes/<id>", "ok")]


def test_a_stream_is_in_flight_until_it_is_closed(kept: Kept) -> None:
    first, second = request(stream(b"a", b"b")), request(stream(b"a"))
    next(first)
    assert (kept._in_flight(), kept.names()) == (2, [])
    first.close()
    assert kept._in_flight() == 1
    assert list(second) == [b"a"]
    second.close()
    assert (kept._in_flight(), len(kept.names())) == (0, 2)


def test_a_body_that_was_dropped_is_counted_and_no_more_in_flight(kept: Kept) -> None:
    body = request(stream(b"a", b"b"))
    next(body)
    before = tlctx.counters().dropped_bodies
    del body
    gc.collect()
    assert tlctx.counters().dropped_bodies == before + 1
    assert (kept._in_flight(), len(kept.names())) == (0, 1)


def test_a_request_with_several_contexts_is_one(kept: Kept) -> None:
    other = OtherCtx()
    ContextMiddleware(ContextMiddleware(ContextMiddleware(hello, ctx), other), ctx)(dict(REQUEST), start_nothing)
    assert len(kept.names()) == 1

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert kept._in_flight() == 1
        await answer(send)

    serve(within(within(within(app), context=other)))
    assert len(kept.names()) == 2


def test_a_request_inside_a_request_is_one_more(kept: Kept) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        request()
        assert kept._in_flight() == 1
        return hello(environ, start_response)

    request(app)
    assert len(kept.names()) == 2


def test_jobs_and_scripts_and_test_contexts_are_no_requests(kept: Kept) -> None:
    with ctx.scope():
        taken = snapshot()
    in_thread(lambda: taken.run(lambda: None))
    for source in (None, "job", dict(REQUEST), {"type": "lifespan"}, {"type": "http", "tlctx.scopes": (1,)}, {}):
        with Scope(ctx, source):
            assert kept._in_flight() == 0
    assert kept.names() == []


def test_asgi_requests_and_web_sockets_are_counted(kept: Kept) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert kept._in_flight() == 1
        if scope["type"] == "http":
            await answer(send)

    async def cancelled(scope: Any, receive: Any, send: Any) -> None:
        raise asyncio.CancelledError

    serve(within(app))
    serve(within(app), websocket_scope())
    with pytest.raises(asyncio.CancelledError):
        serve(within(cancelled))
    assert kept.names() == [("GET", "", "ok"), ("WEBSOCKET", "", "ok"), ("GET", "", "aborted")]


def test_overdue_are_those_in_flight_that_are_older_than_allowed() -> None:
    for overdue_after, overdue in ((-1.0, 1), (PATIENCE, 0)):
        metrics = Kept(overdue_after)
        body = request(stream(b"a"))
        assert metrics._overdue() == overdue
        body.close()
        assert metrics._overdue() == 0
        metrics.close()


def test_a_request_that_began_before_is_not_counted_and_nothing_is_once_it_is_closed(kept: Kept) -> None:
    body = request(stream(b"a"))
    late = Kept()
    body.close()
    request()
    late.close()
    request()
    assert (len(late.names()), len(kept.names())) == (1, 3)


def test_a_scope_that_is_freed_and_was_never_closed_is_in_flight_no_more(kept: Kept) -> None:
    scope = Scope(ctx, {"type": "http", "method": "GET"})
    with bound(scope):
        assert kept._in_flight() == 1
    assert kept._in_flight() == 1
    del scope
    gc.collect()
    assert kept._in_flight() == 0


def test_a_request_may_end_while_the_very_thread_hands_on_what_has_ended() -> None:
    """As it does where a finalizer closes it: a lock would never be had."""
    bodies: list[Any] = []

    class Drops(Kept):
        def _hand_on(self, ended: Any) -> None:
            super()._hand_on(ended)
            if bodies:
                bodies.pop().close()

    metrics = Drops()
    bodies.append(request(stream(b"a")))
    request()
    in_thread(metrics.flush)
    assert len(metrics.ended) == 2
    metrics.close()


def test_a_thread_hands_on_what_has_ended_without_being_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tlctx.metrics._requests._SECONDS", 0.001)
    handed_on, threads = threading.Event(), []

    class Tells(Kept):
        def _hand_on(self, ended: Any) -> None:
            threads.append(threading.current_thread())
            handed_on.set()

        def _sample(self) -> None:
            super()._sample()
            if self.samples == 1:
                raise Boom  # it goes on

    metrics = Tells()
    metrics.samples = 1
    request()
    assert handed_on.wait(PATIENCE)
    assert (threads[0].name, threads[0].daemon) == ("tlctx-metrics", True)
    metrics.close()
    threads[0].join(PATIENCE)
    assert not threads[0].is_alive()


def test_where_no_thread_can_be_had_requests_are_served_and_counted(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    request()
    request()
    assert len(kept.names()) == 2


@pytest.mark.parametrize(
    ("function", "package", "extra"),
    [("prometheus", "prometheus_client", "metrics"), ("opentelemetry", "opentelemetry", "opentelemetry")],
)
def test_where_the_package_is_missing_the_error_says_what_to_install(
    function: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, f"tlctx.metrics._{function}", raising=False)
    with pytest.raises(ImportError, match=rf'pip install "tlctx\[{extra}\]"'):
        getattr(metrics, function)()


def test_a_request_may_end_while_those_in_flight_are_counted(kept: Kept) -> None:
    """As it does where the collector runs in the middle of that, and finds a body."""
    open_one = request(stream(b"a"))
    ((serial, entry),) = kept._open.items()
    kept._open.update(dict.fromkeys(range(-5000, 0), entry))
    cycle: list[Any] = [request(stream(b"a", b"b"))]
    next(cycle[0])
    cycle.append(cycle)
    gc.collect()
    gc.disable()
    del cycle
    threshold = gc.get_threshold()
    gc.set_threshold(1)
    try:
        gc.enable()
        assert kept._in_flight() in (5001, 5002)
    finally:
        gc.set_threshold(*threshold)
        gc.enable()
    gc.collect()
    assert kept._in_flight() == 5001
    open_one.close()
    assert (kept._in_flight(), serial in kept._open) == (0, False)
