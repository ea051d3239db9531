"""Snapshots: what is in one, what is left out, and how long its values live."""

from __future__ import annotations

import functools
import gc
import threading
import weakref
from typing import Any

import pytest
from support.contexts import SnapshotCtx, UserCtx
from support.helpers import PATIENCE, in_thread
from support.requests import Request
from support.threads import run_at_once

import tlctx
from tlctx import RequestContext, Scope, per_request
from tlctx.lowlevel import assigned_values
from tlctx.threads import snapshot


@pytest.fixture
def ctx() -> Any:
    return SnapshotCtx()


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
    class More(SnapshotCtx, not_copied=("note",)):
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
