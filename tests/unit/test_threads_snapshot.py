"""Snapshots: what is in one, who may use it, how often and when, and what each use begins and ends."""

from __future__ import annotations

import asyncio
import contextvars
import copy
import functools
import gc
import pickle
import threading
import weakref
from dataclasses import field
from typing import Any

import pytest
from support.contexts import UserCtx
from support.helpers import PATIENCE, in_thread
from support.requests import Request
from support.threads import run_at_once

import tlctx
from tlctx import OutsideRequestError, RequestContext, RequestEndedError, Scope, per_request
from tlctx.lowlevel import assigned_values, propagate
from tlctx.threads import snapshot, wrap

AT_ONCE = 8


class Ctx(RequestContext, not_copied=["socket"]):
    user: str = "nobody"
    socket: object = None
    tags: list[str] = field(default_factory=list)
    note: str

    @per_request
    def session(self) -> object:
        return object()


@pytest.fixture
def ctx() -> Any:
    return Ctx()


def test_a_snapshot_has_what_the_request_has_assigned(ctx: Any) -> None:
    with ctx.scope(user="ann", note="first"):
        ctx.undeclared = 1
        taken = snapshot(ctx)
    assert in_thread(lambda: taken.run(lambda: dict(vars(ctx)))) == {
        "user": "ann", "note": "first", "tags": [], "undeclared": 1, "socket": None,
    }  # fmt: skip


def test_the_copy_is_shallow_and_of_the_moment_in_which_it_is_taken(ctx: Any) -> None:
    with ctx.scope(user="ann", tags=["old"]):
        taken, tags = snapshot(ctx), ctx.tags
        ctx.user = "bob"
        ctx.tags = ["new"]
        user, copied = taken.run(lambda: (ctx.user, ctx.tags))
    assert user == "ann"
    assert copied is tags


def test_what_a_job_writes_does_not_reach_the_request_nor_another_job(ctx: Any) -> None:
    def write() -> str:
        before: str = ctx.user
        ctx.user = "changed"
        return before

    with ctx.scope(user="ann"):
        taken = snapshot(ctx)
        assert [in_thread(functools.partial(taken.run, write)) for _ in range(3)] == ["ann"] * 3
        assert taken.run(write) == "ann"
        assert ctx.user == "ann"


def test_what_per_request_made_is_made_anew_in_each_job(ctx: Any) -> None:
    with ctx.scope():
        own = ctx.session
        taken = snapshot(ctx)
        made = [in_thread(lambda: taken.run(lambda: ctx.session)) for _ in range(2)]
        assert ctx.session is own
    assert len({id(session) for session in [own, *made]}) == 3


def test_a_value_that_was_assigned_to_a_per_request_name_travels(ctx: Any) -> None:
    with ctx.scope(session="one of the test's"):
        taken = snapshot(ctx)
    assert taken.run(lambda: ctx.session) == "one of the test's"


def test_a_value_that_is_being_made_on_another_thread_is_never_in_a_snapshot() -> None:
    stored, go_on = threading.Event(), threading.Event()

    class Slow(RequestContext):
        @per_request
        def session(self) -> object:
            return object()

    ctx = Slow()
    taken: list[Any] = []

    def watch(frame: Any, event: str, argument: Any) -> Any:
        if "session" in scope.namespace and not stored.is_set():  # as soon as other threads can see it
            stored.set()
            go_on.wait(PATIENCE)
        return watch

    def make() -> None:
        import sys

        with tlctx.lowlevel.bound(scope):
            tracer = sys.gettrace()
            sys.settrace(watch)
            try:
                _ = ctx.session
            finally:
                sys.settrace(tracer)
        stored.set()

    def take() -> None:
        assert stored.wait(PATIENCE)
        taken.append(assigned_values(scope))
        go_on.set()

    with ctx.scope() as scope:
        run_at_once([make, take])
        assert "session" in scope.namespace
    assert taken == [{}]


def test_what_the_class_marks_does_not_travel_and_begins_as_in_any_scope(ctx: Any) -> None:
    with ctx.scope(socket="open"):
        taken = snapshot(ctx)
        assert taken.run(lambda: ctx.socket) is None
        assert "socket" not in assigned_values(Scope.current(ctx))  # type: ignore[arg-type]


def test_a_subclass_marks_more_fields(ctx: Any) -> None:
    class More(Ctx, not_copied=("note",)):
        pass

    more = More()
    with more.scope(note="x", socket="open", user="ann"):
        taken = snapshot(more)
    assert taken.run(lambda: (more.user, more.get("note"), more.socket)) == ("ann", None, None)


@pytest.mark.parametrize(("names", "text"), [(["usr"], "names 'usr', which the class does not"), ("user", "in a list")])
def test_marking_what_is_no_field_is_refused(names: Any, text: str) -> None:
    with pytest.raises(TypeError, match=text):
        type("Wrong", (UserCtx,), {}, not_copied=names)


def test_a_default_that_the_request_has_deleted_does_not_come_back(ctx: Any) -> None:
    with ctx.scope():
        del ctx.user
        taken = snapshot(ctx)
    assert taken.run(lambda: (ctx.get("user"), ctx.socket)) == (None, None)
    with taken.scope():
        assert "user" not in ctx


def test_the_init_of_the_context_runs_in_each_job_before_the_values_come() -> None:
    numbers = iter(range(10))

    class Counted(RequestContext):
        number: int
        user: str

        def __init__(self) -> None:
            self.number = next(numbers)
            self.own = self.number

    counted = Counted()
    with counted.scope(user="ann"):
        del counted.own
        taken = snapshot(counted)
    assert taken.run(lambda: (counted.number, counted.user, counted.own)) == (0, "ann", 1)
    with taken.scope():
        assert (counted.number, counted.user, counted.own) == (0, "ann", 2)


def test_values_do_not_pass_a_property_a_second_time() -> None:
    class Doubled(RequestContext):
        @property
        def number(self) -> int:
            return vars(self)["number"]  # type: ignore[no-any-return]

        @number.setter
        def number(self, value: int) -> None:
            vars(self)["number"] = 2 * value

    doubled = Doubled()
    with doubled.scope(number=4):
        taken = snapshot(doubled)
    assert taken.run(lambda: doubled.number) == 8


def test_a_strict_context_travels_too() -> None:
    class Strict(RequestContext, strict=True):
        user: str

    strict = Strict()
    with strict.scope(user="ann"):
        taken = snapshot(strict)
    assert taken.run(lambda: strict.user) == "ann"
    with taken.scope(), pytest.raises(AttributeError, match="declares no"):
        strict.usr = 1  # type: ignore[attr-defined]


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


def test_it_works_on_after_the_request_and_holds_neither_its_scope_nor_its_environ() -> None:
    request = Request(lambda environ, start_response: [setattr(tlctx.ctx, "user", "ann") or snapshot()])  # type: ignore[func-returns-value]
    (taken,) = request()
    scope, environ = request.environ.pop("tlctx.scopes")[0], weakref.ref(Marked(request.environ))
    held = weakref.ref(scope)
    del scope, request
    gc.collect()
    assert held() is None
    assert environ() is None
    assert in_thread(lambda: taken.run(lambda: tlctx.ctx.user)) == "ann"


class Marked(dict[str, Any]):
    """A dict that can be referred to weakly."""


def test_it_lets_go_of_the_values_when_it_goes(ctx: Any) -> None:
    class Value:
        pass

    with ctx.scope(user=Value()):
        value = weakref.ref(ctx.user)
        taken = snapshot(ctx)
    assert taken.run(lambda: ctx.user is value())
    assert value() is not None
    del taken
    assert value() is None


def test_an_error_that_is_kept_does_not_keep_the_values(ctx: Any) -> None:
    class Value:
        pass

    def fail() -> None:
        raise KeyError

    with ctx.scope(user=Value()):
        value = weakref.ref(ctx.user)
        taken = snapshot(ctx)
    with pytest.raises(KeyError) as raised:
        taken.run(fail)
    del taken
    assert raised.value.__traceback__ is not None
    assert value() is None


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


def test_taking_a_snapshot_leaves_the_name_of_the_request_as_it_was(ctx: Any) -> None:
    scope = Scope(ctx, label="the first")
    with scope:
        before = str(scope), scope.label
        snapshot(ctx)
        assert (str(scope), scope.label) == before == (f"request #{scope.serial} (the first)", "the first")


def test_where_no_request_runs_there_is_nothing_to_take(ctx: Any) -> None:
    with pytest.raises(OutsideRequestError, match="taking a snapshot on thread"):
        snapshot(ctx)
    with ctx.scope(), pytest.raises(OutsideRequestError):
        snapshot(ctx, tlctx.ctx)


def test_code_that_its_request_has_left_behind_can_take_none(ctx: Any) -> None:
    def take() -> None:
        with pytest.raises(RequestEndedError, match=r"taking a snapshot .* after scope #\d+ has ended"):
            snapshot(ctx)

    with ctx.scope() as scope, propagate(scope):
        context = contextvars.copy_context()
    context.run(take)


def test_without_contexts_it_is_one_of_the_default_one() -> None:
    with tlctx.ctx.scope(user="ann"):
        function = wrap(lambda: tlctx.ctx.user)
        taken = snapshot()
    assert in_thread(function) == taken.run(lambda: tlctx.ctx.user) == "ann"


@pytest.mark.parametrize("context", [Ctx, None, "ctx"])
def test_what_is_no_context_is_refused(context: Any) -> None:
    with pytest.raises(TypeError, match="must be a RequestContext"):
        snapshot(context)


def test_one_call_takes_several_contexts(ctx: Any) -> None:
    other, left_out = Ctx(), Ctx()
    with ctx.scope(user="ann"), other.scope(user="bob"), left_out.scope(user="eve"):
        taken = snapshot(ctx, other)

    def job() -> tuple[str, str, Any]:
        return ctx.user, other.user, left_out.get("user", None)

    assert in_thread(lambda: taken.run(job)) == ("ann", "bob", None)
    with taken.scope() as scope:
        assert scope.context is ctx
        assert job() == ("ann", "bob", None)
    assert Scope.current(ctx) is Scope.current(other) is None


@pytest.mark.parametrize("by_block", [False, True])
def test_several_scopes_end_the_last_one_first_with_the_error(ctx: Any, by_block: bool) -> None:
    other = Ctx()
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


def test_a_wrapped_function_keeps_its_name_and_signature(ctx: Any) -> None:
    def report(pages: int) -> int:
        """Make a report."""
        return pages

    with ctx.scope():
        wrapped = wrap(report, ctx)
    assert wrapped(3) == 3
    assert wrapped.__name__ == "report"
    assert wrapped.__doc__ == "Make a report."
    assert "report" in repr(wrapped)


async def coroutine() -> None: ...


async def async_generator() -> Any:
    yield


def generator() -> Any:
    yield


@pytest.mark.parametrize("function", [coroutine, async_generator, generator, functools.partial(coroutine)])
def test_a_function_whose_code_runs_after_the_call_is_refused(ctx: Any, function: Any) -> None:
    with ctx.scope(), pytest.raises(TypeError, match=r"would run when the scopes are over"):
        wrap(function, ctx)


def test_what_is_no_function_is_refused(ctx: Any) -> None:
    with ctx.scope(), pytest.raises(TypeError, match=r"wrap\(\) takes a function, not int"):
        wrap(1, ctx)  # type: ignore[arg-type]


def test_copies_and_pickles_are_refused_and_no_repr_shows_a_value(ctx: Any) -> None:
    with ctx.scope(user="s3cret"):
        taken = snapshot(ctx)
        one = tlctx.lowlevel.copy_scope(ctx)
        wrapped = taken.wrap(len)
    for thing in (taken, one):
        with pytest.raises(TypeError, match="pickled"):
            pickle.dumps(thing)
        with pytest.raises(TypeError, match="pickled"):
            copy.copy(thing)
    assert "s3cret" not in repr(taken) + repr(one) + repr(wrapped)


def test_the_context_variables_travel_by_choice(ctx: Any) -> None:
    span: contextvars.ContextVar[str] = contextvars.ContextVar("span", default="none")
    with ctx.scope(user="ann"):
        span.set("outer")
        plain, with_variables = snapshot(ctx), snapshot(ctx, contextvars=True)
        span.set("later")
    none = contextvars.Context()  # which a thread may inherit
    assert none.run(in_thread, lambda: plain.run(span.get)) == "none"
    assert in_thread(lambda: with_variables.run(lambda: (span.get(), ctx.user))) == ("outer", "ann")

    def job(number: int) -> None:
        span.set(str(number))
        inside.wait(PATIENCE)
        assert span.get() == str(number)

    inside = threading.Barrier(AT_ONCE)
    run_at_once([functools.partial(with_variables.run, job, number) for number in range(AT_ONCE)])
    assert with_variables.run(span.get) == "outer"


def test_a_live_scope_does_not_come_along_with_the_context_variables(ctx: Any) -> None:
    other = Ctx()
    with ctx.scope(user="ann") as scope, other.scope(user="eve") as live, propagate(live), propagate(scope):
        taken = snapshot(ctx, contextvars=True)
        assert in_thread(lambda: taken.run(lambda: (ctx.user, other.get("user", None)))) == ("ann", None)
        assert contextvars.copy_context().run(in_thread, lambda: other.get("user", None)) is None


def test_a_block_cannot_have_the_context_variables_and_says_so(ctx: Any) -> None:
    with ctx.scope():
        taken = snapshot(ctx, contextvars=True)
    with pytest.raises(RuntimeError, match=r"use run\(\) or wrap\(\)"):
        taken.scope()


def test_a_scope_of_it_is_entered_once(ctx: Any) -> None:
    with ctx.scope():
        scope = snapshot(ctx).scope()
    with scope:
        pass
    with pytest.raises(RequestEndedError), scope:
        pass


def test_a_task_may_open_one_while_others_do_the_same(ctx: Any) -> None:
    with ctx.scope(user="ann"):
        taken = snapshot(ctx)

    async def task(number: int) -> tuple[str, bool]:
        with taken.scope():
            ctx.number = number
            await asyncio.sleep(0)
            return ctx.user, ctx.number == number

    async def all_of_them() -> Any:
        return await asyncio.gather(*(task(number) for number in range(AT_ONCE)))

    assert asyncio.run(all_of_them()) == [("ann", True)] * AT_ONCE


def test_a_snapshot_of_a_live_scope_that_a_task_sees_is_one_of_that_request(ctx: Any) -> None:
    async def task() -> str:
        return await asyncio.get_running_loop().run_in_executor(None, wrap(lambda: ctx.user, ctx))

    async def main() -> str:
        with ctx.scope(user="ann"):
            return await asyncio.ensure_future(task())

    assert asyncio.run(main()) == "ann"


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


def test_a_request_that_assigns_between_two_copies_has_different_ones(ctx: Any) -> None:
    def change(name: str, value: object) -> None:
        setattr(ctx, name, value)

    with ctx.scope(user="ann", note=1):
        copies = [tlctx.lowlevel.copy_scope(ctx) for _ in range(3)]  # which may be the same one
        for name, value in (("note", 1.0), ("note", True), ("more", None), ("user", "bob")):
            change(name, value)
            copies.append(tlctx.lowlevel.copy_scope(ctx))
        del ctx.more
        copies.append(tlctx.lowlevel.copy_scope(ctx))
        ctx.note = 2
    assert [taken.run(lambda: (ctx.user, repr(ctx.note), "more" in ctx)) for taken in copies] == [
        *[("ann", "1", False)] * 3, ("ann", "1.0", False), ("ann", "True", False), ("ann", "True", True),
        ("bob", "True", True), ("bob", "True", False),
    ]  # fmt: skip


def test_copies_and_scopes_may_go_in_any_order(ctx: Any) -> None:
    kept = []
    for number in range(50):
        with ctx.scope(note=number):
            first = tlctx.lowlevel.copy_scope(ctx)
            second = tlctx.lowlevel.copy_scope(ctx)
            del first
            third = tlctx.lowlevel.copy_scope(ctx)
            kept.append(second if number % 2 else third)
            del second, third
            assert tlctx.lowlevel.copy_scope(ctx).run(lambda: ctx.note) == number
    gc.collect()
    assert [taken.run(lambda: ctx.note) for taken in kept] == list(range(50))
