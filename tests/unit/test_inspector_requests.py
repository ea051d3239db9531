"""What the live view says of requests: those that are open, and those that are over."""

from __future__ import annotations

import gc
import json
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any

import pytest
from support.helpers import PATIENCE, Boom, start_nothing
from support.inspecting import Answer, Ctx, inspecting, open_request

from tlctx import ContextMiddleware
from tlctx.inspector import Inspector, open_requests
from tlctx.lowlevel import Scope, bound

if TYPE_CHECKING:
    from collections.abc import Iterator

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture
def ctx() -> Ctx:
    return Ctx()


@pytest.fixture
def inspector(ctx: Ctx) -> Iterator[Inspector]:
    with inspecting(ctx, show=["user"]) as inspector:
        yield inspector


def serve(ctx: Ctx, app: Any, **environ: Any) -> Any:
    """What the application answers to a request."""
    return ContextMiddleware(app, ctx)(
        {"REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": "/path", **environ}, start_nothing
    )


def answer_nothing(environ: Any, start_response: Any) -> Any:
    return []


def test_an_open_request_is_shown_with_what_is_known_of_it(ctx: Ctx, inspector: Inspector) -> None:
    body = open_request(
        ctx, "/notes/7", {"user": "ann", "password": "s3cret"},
        SCRIPT_NAME="/app", HTTP_TRACEPARENT=f"00-{TRACE}-00f067aa0ba902b7-01",
    )  # fmt: skip
    next(body)
    next(body)
    (process,), (request,) = inspector.look().processes, inspector.look().open
    assert (request.method, request.path, request.label) == ("GET", "/app/notes/7", "GET /notes/7")
    assert request.id == f"{process.id}:{request.serial}"
    assert (request.state, request.chunks, request.trace, request.route) == ("waiting", 2, TRACE, None)
    assert (request.fields, request.values) == (["password", "user"], {"user": "'ann'"})
    assert (request.thread.id, request.thread.name) == (threading.get_ident(), threading.current_thread().name)
    assert (process.open, process.begun, process.failed) == (1, 1, 0)
    older = inspector.look().open[0]
    assert older.age > request.age > 0
    assert older.began == pytest.approx(request.began, abs=0.01)
    body.close()
    assert inspector.look().open == []


def test_the_oldest_come_first(ctx: Ctx, inspector: Inspector) -> None:
    bodies = [open_request(ctx, f"/{number}") for number in range(5)]
    assert [request.path for request in inspector.look().open] == ["/0", "/1", "/2", "/3", "/4"]
    bodies[0].close()
    assert [request.path for request in inspector.look().open] == ["/1", "/2", "/3", "/4"]
    for body in bodies:
        body.close()


def test_a_request_began_at_one_time_until_somebody_sets_the_clock(
    ctx: Ctx, inspector: Inspector, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = open_request(ctx)
    began = inspector.look().open[0].began
    assert {inspector.look().open[0].began for _ in range(50)} == {began}
    monkeypatch.setattr("tlctx.inspector._clock.time", lambda: time.time() + 3600)
    view = inspector.look()
    assert view.open[0].began - began == pytest.approx(3600, abs=1)
    assert view.taken - view.open[0].began < PATIENCE
    monkeypatch.undo()
    body.close()
    assert inspector.look().recent[0].began == pytest.approx(began, abs=1)


def test_a_request_that_runs_says_so_and_shows_the_line_on_which_it_stands(ctx: Ctx, inspector: Inspector) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def stand_here() -> None:
        begun.set()
        go_on.wait(PATIENCE)

    def app(environ: Any, start_response: Any) -> Any:
        stand_here()
        return []

    thread = threading.Thread(target=serve, args=(ctx, app), name="server-1")
    thread.start()
    assert begun.wait(PATIENCE)
    (request,) = inspector.look().open
    assert (request.state, request.thread.name) == ("running", "server-1")
    answer = Answer(inspector, f"/stack.json?id={request.id}")
    frames = inspector.stack(request.id)
    go_on.set()
    thread.join(PATIENCE)
    assert frames is not None
    places = [(frame.function, frame.code) for frame in frames]
    assert ("stand_here", "go_on.wait(PATIENCE)") in places
    assert places.index(("app", "stand_here()")) < places.index(("stand_here", "go_on.wait(PATIENCE)"))
    assert answer.json == {"id": request.id, "frames": [vars(frame) for frame in frames], "ended": False}
    over = Answer(inspector, f"/stack.json?id={request.id}")
    assert over.status == "404 Not Found"
    assert over.json == {"id": request.id, "frames": [], "ended": True}


def test_a_request_that_waits_has_no_stack_and_is_not_over(ctx: Ctx, inspector: Inspector) -> None:
    body = open_request(ctx)
    next(body)
    request = inspector.look().open[0].id
    assert inspector.stack(request) == []
    assert Answer(inspector, f"/stack.json?id={request}").json == {"id": request, "frames": [], "ended": False}
    body.close()
    assert inspector.stack(request) is None


@pytest.mark.parametrize(
    "asked", ["", "1", ":", "::", "a:b:c", "vm:1:-1", "vm:1:1e3", "\u0661:1:1", f"vm:1:{'9' * 99}", "x" * 9999]
)
def test_who_asks_for_the_stack_of_nothing_is_told_that_it_is_over(inspector: Inspector, asked: str) -> None:
    assert inspector.stack(asked) is None
    assert inspector.stack(f"{inspector.look().processes[0].id}:{asked}") is None
    for query in (f"id={asked}", "id", "", "&" * 99, "id=%ff&id=2"):
        assert Answer(inspector, f"/stack.json?{query}").json["ended"] is True


def test_what_is_over_is_shown_with_how_long_it_took(ctx: Ctx, inspector: Inspector) -> None:
    serve(ctx, answer_nothing)
    (request,) = inspector.look().recent
    assert (request.method, request.path, request.error) == ("GET", "/path", None)
    assert 0 < request.duration < PATIENCE
    assert (inspector.look().slowest, inspector.look().failed) == ([request], [])
    assert inspector.look().processes[0].begun == 1


def test_what_failed_is_shown_with_the_type_of_its_error_alone(ctx: Ctx, inspector: Inspector) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        raise Boom("s3cret")

    with pytest.raises(Boom):
        serve(ctx, app)
    view = inspector.look()
    assert [request.error for request in view.failed] == ["Boom"]
    assert (view.processes[0].failed, view.routes[0].failed) == (1, 1)
    assert "s3cret" not in json.dumps(Answer(inspector).json)


def test_a_body_that_the_server_dropped_counts_as_failed(ctx: Ctx, inspector: Inspector) -> None:
    body = open_request(ctx)
    next(body)
    del body
    gc.collect()
    view = inspector.look()
    assert (view.open, [request.error for request in view.failed]) == ([], ["dropped body"])
    assert view.processes[0].dropped_bodies > 0


def test_the_slowest_come_first_and_only_some_of_them(
    ctx: Ctx, inspector: Inspector, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = 0.0
    monkeypatch.setattr("tlctx.inspector._recorder.monotonic", lambda: ended)
    for number in range(300):
        scope = Scope(ctx, {"REQUEST_METHOD": "GET", "PATH_INFO": f"/{number}"}, ("REQUEST_METHOD", "PATH_INFO"))
        with bound(scope):
            pass
        ended = scope.started + max(number * 7 % 300 - 0.001, 0.001)
        scope.close()
    view = inspector.look()
    assert [request.path for request in view.slowest] == [
        f"/{299 * number % 300 * 43 % 300}" for number in range(1, 21)
    ]
    assert [round(request.duration) for request in view.slowest] == [*range(299, 279, -1)]
    (times,) = view.routes
    assert (times.name, times.count, sum(times.buckets)) == ("GET", 300, 300)
    assert (times.buckets[0], times.buckets[-1]) == (1, 289)


def test_durations_are_added_up_by_route_and_method(ctx: Ctx, inspector: Inspector) -> None:
    for method, route in (("GET", "/a/<id>"), ("GET", "/a/<id>"), ("POST", "/a/<id>"), ("FOO", None), ("BAR", None)):
        serve(ctx, answer_nothing, REQUEST_METHOD=method, **{"tlctx.route": route})
    with ctx.scope():
        pass
    counts = {times.name: times.count for times in inspector.look().routes}
    assert counts == {"GET /a/<id>": 2, "POST /a/<id>": 1, "other methods": 2, "other work": 1}


def test_there_are_never_more_than_so_many_routes(ctx: Ctx, inspector: Inspector) -> None:
    for number in range(1000):
        serve(ctx, answer_nothing, **{"tlctx.route": f"/{number}"})
    routes = inspector.look().routes
    assert len(routes) == 201
    assert {times.name: times.count for times in routes}["other routes"] == 800


def test_what_is_no_request_is_shown_by_its_label(ctx: Ctx, inspector: Inspector) -> None:
    with ctx.scope(user="ann") as scope:
        (request,) = inspector.look().open
        assert (request.method, request.path, request.label) == (None, None, str(scope))
    assert inspector.look().recent[0].label == str(scope)


def test_requests_of_other_contexts_are_not_shown(inspector: Inspector) -> None:
    with Ctx().scope():
        assert inspector.look().open == []
    assert inspector.look().recent == []


def test_what_nobody_leaves_is_closed_when_it_is_collected_as_ever(ctx: Ctx, inspector: Inspector) -> None:
    scope = Scope(ctx, label="job 7")
    with bound(scope):
        pass
    assert [request.label for request in inspector.look().open] == ["job 7"]
    del scope
    gc.collect()
    assert inspector.look().open == []
    assert inspector.look().recent[0].label == "job 7"


def test_an_inspector_that_was_closed_sees_no_more(ctx: Ctx) -> None:
    with inspecting(ctx) as inspector:
        pass
    with ctx.scope():
        assert inspector.look().open == []


def test_a_request_of_an_inspector_keeps_nothing_alive(ctx: Ctx, inspector: Inspector) -> None:
    class Input:
        pass

    serve(ctx, answer_nothing, **{"wsgi.input": (given := Input())})
    reference = weakref.ref(given)
    del given
    assert reference() is None


def test_without_an_inspector_a_process_tells_its_open_requests(ctx: Ctx) -> None:
    body = open_request(ctx, values={"user": "ann", "password": "s3cret"})
    with Ctx().scope():
        requests = {request.label: request for request in open_requests(show=["user"])}
    assert requests["GET /notes/7"].values == {"user": "'ann'"}
    assert len(requests) >= 2
    body.close()
