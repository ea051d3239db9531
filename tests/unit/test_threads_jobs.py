"""Jobs: how often and where a snapshot is used, and what each use begins and ends."""

from __future__ import annotations

import functools
import threading
from typing import Any

import pytest
from support.contexts import SnapshotCtx
from support.helpers import PATIENCE
from support.requests import Request
from support.threads import run_at_once

import tlctx
from tlctx import RequestEndedError, Scope
from tlctx.threads import snapshot

AT_ONCE = 8


@pytest.fixture
def ctx() -> Any:
    return SnapshotCtx()


def test_a_snapshot_may_be_in_use_in_many_threads_at_once(ctx: Any) -> None:
    with ctx.scope(user="ann"):
        taken = snapshot(ctx)
    inside = threading.Barrier(AT_ONCE)
    seen: list[Any] = []

    def job(number: int) -> None:
        ctx.number = number
        inside.wait(PATIENCE)
        seen.append((ctx.user, ctx.number == number, ctx.session, str(Scope.current(ctx))))

    run_at_once([functools.partial(taken.run, job, number) for number in range(AT_ONCE)])
    assert {(user, own) for user, own, _, _ in seen} == {("ann", True)}
    assert len({id(session) for _, _, session, _ in seen}) == AT_ONCE
    assert len({name for *_, name in seen}) == AT_ONCE


def test_it_may_be_used_inside_itself(ctx: Any) -> None:
    with ctx.scope(user="ann"):
        taken = snapshot(ctx)

    def inner() -> str:
        user: str = ctx.user
        ctx.user = "inner"
        return user

    def outer() -> tuple[str, str]:
        ctx.user = "outer"
        return taken.run(inner), ctx.user

    assert taken.run(outer) == ("ann", "outer")


def test_each_use_runs_a_teardown_of_its_own_which_learns_of_the_error(ctx: Any) -> None:
    log: list[Any] = []

    class Noted:
        def __enter__(self) -> None: ...

        def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
            log.append((ctx.user, error))

    def job(error: Exception | None = None) -> str:
        ctx.enter_context(Noted())
        if error is not None:
            raise error
        return "done"

    error = ValueError("of the job")
    with ctx.scope(user="ann"):
        taken = snapshot(ctx)
        assert taken.run(job) == "done"
        with pytest.raises(ValueError, match="of the job"):
            taken.run(job, error)
        with taken.scope():
            job()
        assert log == [("ann", None), ("ann", error), ("ann", None)]
    assert len(log) == 3


def test_what_the_teardown_raises_is_the_outcome_of_a_job_that_succeeded(
    ctx: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with ctx.scope():
        taken = snapshot(ctx)
    failed = tlctx.counters().failed_teardowns

    def job() -> str:
        ctx.callback(int, "no number")
        return "done"

    with pytest.raises(ValueError, match="no number"):
        taken.run(job)
    assert tlctx.counters().failed_teardowns == failed + 1
    assert "its teardown failed" in caplog.text


def test_the_error_of_a_job_goes_on_though_its_teardown_fails_too(ctx: Any, caplog: pytest.LogCaptureFixture) -> None:
    with ctx.scope():
        taken = snapshot(ctx)

    def job() -> None:
        ctx.callback(int, "no number")
        raise KeyError("of the job")

    with pytest.raises(KeyError, match="of the job"):
        taken.run(job)
    assert "no number" in caplog.text


def test_nothing_is_left_on_the_thread(ctx: Any) -> None:
    with ctx.scope():
        taken = snapshot(ctx)
    taken.run(lambda: ctx.session)
    with pytest.raises(ZeroDivisionError):
        taken.run(lambda: 1 // 0)
    assert Scope.current(ctx) is None
    assert ctx._local__impl.dicts == {}


def test_arguments_and_the_result_pass_through(ctx: Any) -> None:
    with ctx.scope():
        taken = snapshot(ctx)
    assert taken.run(lambda *args, **kwargs: (args, kwargs), 1, 2, key=3) == ((1, 2), {"key": 3})
    results: list[Any] = [None, [], [1], (), iter("a"), "text"]
    for result in results:
        assert taken.run(lambda given: given, result) is result
        assert taken.run(lambda given: (ctx.session, given)[1], result) is result


def test_messages_name_the_request_that_the_job_belongs_to() -> None:
    def app(environ: Any, start_response: Any) -> Any:
        return [snapshot(), str(Scope.current(tlctx.ctx))]

    taken, name = Request(app)()
    assert name.endswith("(GET /path)")
    scope = taken.run(lambda: Scope.current(tlctx.ctx))
    assert str(scope) == f"job #{scope.serial} of {name}"
    assert scope.label == "GET /path"
    with pytest.raises(RequestEndedError, match=r"after job #\d+ of request #\d+ \(GET /path\) has ended"):
        scope.callback(print)
    assert repr(taken) == f"<Snapshot of {name}>"


def test_a_job_of_a_job_is_a_job_of_the_request(ctx: Any) -> None:
    with ctx.scope(user="ann") as scope:
        taken = snapshot(ctx)
    inner = taken.run(lambda: snapshot(ctx))
    with inner.scope() as job:
        assert str(job) == f"job #{job.serial} of {scope}"
        assert ctx.user == "ann"


@pytest.mark.parametrize("by_block", [False, True])
def test_several_scopes_end_the_last_one_first_with_the_error(ctx: Any, by_block: bool) -> None:
    other = SnapshotCtx()
    log: list[Any] = []
    with ctx.scope(user="ann"), other.scope(user="bob"):
        taken = snapshot(ctx, other)

    class Noted:
        def __init__(self, context: Any) -> None:
            self.context = context

        def __enter__(self) -> None: ...

        def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
            log.append((self.context.user, kind))

    def job() -> None:
        ctx.enter_context(Noted(ctx))
        other.enter_context(Noted(other))
        raise KeyError

    with pytest.raises(KeyError):
        if by_block:
            with taken.scope():
                job()
        else:
            taken.run(job)
    assert sorted(log) == [("ann", KeyError), ("bob", KeyError)]
    assert ctx._local__impl.dicts == other._local__impl.dicts == {}


def test_a_scope_of_it_is_entered_once(ctx: Any) -> None:
    with ctx.scope():
        scope = snapshot(ctx).scope()
    with scope:
        pass
    with pytest.raises(RequestEndedError), scope:
        pass


def test_an_observer_is_told_of_each_job(ctx: Any) -> None:
    events: list[Any] = []

    class Recorder(tlctx.lowlevel.Observer):
        def begin(self, scope: Scope) -> None:
            events.append(("begin", scope.serial, scope.label, sorted(scope.namespace)))

        def end(self, scope: Scope, error: BaseException | None) -> None:
            events.append(("end", scope.serial, type(error)))

    with Scope(ctx, label="a request"):
        ctx.note = "assigned"
        taken = snapshot(ctx)
    recorder = Recorder()
    tlctx.lowlevel.add_observer(recorder)
    try:
        serial = taken.run(lambda: Scope.current(ctx).serial)  # type: ignore[union-attr]
        with pytest.raises(ZeroDivisionError):
            taken.run(lambda: 1 // 0)
    finally:
        tlctx.lowlevel.remove_observer(recorder)
    assert events == [
        ("begin", serial, "a request", ["socket", "tags", "user"]), ("end", serial, type(None)),
        ("begin", serial + 1, "a request", ["socket", "tags", "user"]), ("end", serial + 1, ZeroDivisionError),
    ]  # fmt: skip


def test_an_observer_that_ends_the_scope_as_it_begins_lets_no_value_out(ctx: Any) -> None:
    class Ends(tlctx.lowlevel.Observer):
        def begin(self, scope: Scope) -> None:
            scope.close()

    with ctx.scope(note="s3cret"):
        taken = snapshot(ctx)
    ends = Ends()
    tlctx.lowlevel.add_observer(ends)
    try:
        with pytest.raises(RequestEndedError):
            taken.run(lambda: ctx.note)
    finally:
        tlctx.lowlevel.remove_observer(ends)
    with ctx.scope() as scope:
        pass
    assert dict.__len__(scope.namespace) == 0
    assert Scope.current(ctx) is None
