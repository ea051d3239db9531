"""Celery: each task runs in a scope of its own, which ends before its result is stored and its callbacks are sent."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("celery", reason="needs Celery")

from celery import signals, states
from celery.exceptions import Ignore, Reject
from support.celery_app import TaskCtx, make_app, messages_of, run_all, run_one, task_of
from support.helpers import Boom, raise_boom

from tlctx import RequestContext, RequestEndedError, Scope

pytestmark = pytest.mark.usefixtures("no_scope_is_left")


class TestTheEnd:
    """What is there, and what is not, while the teardown runs."""

    def test_it_comes_before_the_result_and_the_callbacks(self, app: Any, ctx: TaskCtx) -> None:
        at_end: list[Any] = []

        @task_of(app, bind=True)
        def first(self: Any, *_: Any) -> str:
            def note() -> None:
                at_end.append((ctx.user, app.AsyncResult(self.request.id).state, list(messages_of(app))))

            ctx.callback(note)
            return "a result"

        with ctx.scope(user="ann"):
            result = first.apply_async(link=first.s())
        (message,) = messages_of(app)
        run_one(app, message)
        assert at_end == [("ann", "PENDING", [])]
        assert (result.state, result.get()) == ("SUCCESS", "a result")
        assert len(list(messages_of(app))) == 1

    def test_it_comes_before_the_body_of_a_chord_is_sent(self, app: Any, ctx: TaskCtx) -> None:
        from celery import chord

        order: list[str] = []

        @task_of(app)
        def part() -> None:
            ctx.callback(order.append, "ended")

        @task_of(app)
        def body(_: Any) -> None:
            order.append("body")

        chord([part.s(), part.s()], body.s()).delay()
        run_all(app)
        assert order == ["ended", "ended", "body"]

    def test_the_scope_is_over_after_it(self, app: Any, ctx: TaskCtx) -> None:
        scopes: list[Scope] = []

        @task_of(app)
        def keep() -> None:
            scopes.append(Scope.current(ctx))  # type: ignore[arg-type]

        keep.delay()
        keep.delay()
        run_all(app)
        first, second = scopes
        assert first is not second
        assert first.ended
        assert first.source is None
        with pytest.raises(RequestEndedError, match=r"\(task \S+\.keep\[[-0-9a-f]{36}\]\)"):
            first.callback(int)

    def test_what_it_raises_fails_the_task(self, app: Any, ctx: TaskCtx) -> None:
        called: list[str] = []

        @task_of(app)
        def note(*_: Any) -> None:
            called.append("callback")

        @task_of(app)
        def note_error(*_: Any) -> None:
            called.append("error callback")

        @task_of(app)
        def commit() -> str:
            ctx.callback(raise_boom)
            return "never stored"

        result = commit.apply_async(link=note.s(), link_error=note_error.s())
        run_all(app)
        assert result.state == states.FAILURE
        with pytest.raises(Boom):
            result.get()
        assert called == ["error callback"]

    def test_what_it_raises_takes_the_place_of_the_tasks_error(self, app: Any, ctx: TaskCtx) -> None:
        @task_of(app)
        def fail() -> None:
            ctx.callback(raise_boom)
            raise ValueError

        result = fail.delay()
        run_all(app)
        with pytest.raises(Boom):
            result.get()


OUTCOMES: dict[str, tuple[BaseException | None, str, list[str]]] = {
    "success": (None, states.SUCCESS, ["done"]),
    "an error": (ValueError(), states.FAILURE, ["ValueError"]),
    "Ignore": (Ignore(), states.PENDING, ["done"]),
    "Reject": (Reject(), states.PENDING, ["Reject"]),
}


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_the_teardown_learns_whether_the_task_has_failed(app: Any, ctx: TaskCtx, outcome: str) -> None:
    error, state, told = OUTCOMES[outcome]
    work: list[Any] = []

    @task_of(app)
    def run() -> None:
        work.append(ctx.work)
        if error is not None:
            raise error

    result = run.delay()
    run_all(app)
    assert work == [told]
    assert result.state == state


def test_a_retry_is_a_failure_for_the_teardown(app: Any, ctx: TaskCtx) -> None:
    work: list[Any] = []

    @task_of(app, bind=True)
    def flaky(self: Any) -> None:
        work.append(ctx.work)
        if len(work) == 1:
            raise self.retry(countdown=0)

    result = flaky.delay()
    (message,) = messages_of(app)
    run_one(app, message)
    assert result.state == states.RETRY
    run_all(app)
    assert work == [["Retry"], ["done"]]
    assert result.state == states.SUCCESS


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_an_exit_is_a_failure_for_the_teardown(app: Any, ctx: TaskCtx, error: type[BaseException]) -> None:
    work: list[Any] = []

    @task_of(app)
    def leave() -> None:
        work.append(ctx.work)
        raise error

    leave.delay()
    with pytest.raises(error):
        run_all(app)
    assert work == [[error.__name__]]


def test_an_ignored_task_whose_teardown_fails_has_failed(app: Any, ctx: TaskCtx) -> None:
    @task_of(app)
    def ignored() -> None:
        ctx.callback(raise_boom)
        raise Ignore

    result = ignored.delay()
    run_all(app)
    assert result.state == states.FAILURE


def test_the_contexts_own_init_runs_before_the_values_come() -> None:
    class WithInit(RequestContext):
        user: str
        log: str

        def __init__(self) -> None:
            self.user = self.log = "from __init__"

    ctx = WithInit()
    app = make_app(ctx, fields=["user"])
    found: list[Any] = []

    @task_of(app)
    def note() -> None:
        found.append((ctx.user, ctx.log))

    with ctx.scope(user="ann", log="of the request"):
        note.delay()
    run_all(app)
    assert found == [("ann", "from __init__")]


def test_a_scope_that_the_task_itself_left_open_is_closed_with_it(app: Any, ctx: TaskCtx) -> None:
    ended: list[str] = []

    @task_of(app)
    def careless() -> None:
        ctx.scope(user="inner").__enter__()
        ctx.callback(ended.append, "inner")

    careless.delay()
    run_all(app)
    assert ended == ["inner"]


def test_signals_come_outside_of_the_scope(app: Any, ctx: TaskCtx) -> None:
    found: list[Any] = []

    def note(**_: Any) -> None:
        found.append(Scope.current(ctx))

    @task_of(app)
    def nothing() -> None: ...

    nothing.delay()
    for signal in (signals.task_prerun, signals.task_postrun, signals.task_success):
        signal.connect(note)
    try:
        run_all(app)
    finally:
        for signal in (signals.task_prerun, signals.task_postrun, signals.task_success):
            signal.disconnect(note)
    assert found == [None, None, None]
