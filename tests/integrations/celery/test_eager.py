"""Celery: a task that is run at once, where it is sent, leaves its caller's request alone."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("celery", reason="needs Celery")

from celery import chain, chord, group, states
from flask import Flask
from support.celery_app import TaskCtx, make_app, messages_of, run_all, task_of
from support.helpers import Boom, raise_boom

from tlctx import Scope
from tlctx.flask import TLCtx


@pytest.fixture
def app(ctx: TaskCtx) -> Any:
    return make_app(ctx, eager=True)


@pytest.mark.parametrize("how", ["delay", "apply_async", "apply", "signature"])
def test_the_callers_request_is_untouched_and_the_task_has_the_allowed_values(
    ctx: TaskCtx, look: Any, seen: list[Any], how: str
) -> None:
    tags = [1]
    with ctx.scope(user="ann", tags=tags, secret="SESAME") as scope:
        work = ctx.work
        before = dict(vars(ctx))
        result = look.s().apply() if how == "signature" else getattr(look, how)()
        assert Scope.current(ctx) is scope
        assert dict(vars(ctx)) == before
        assert work == []  # its teardown has not run
    assert result.get() == "looked"
    assert seen == [("ann", [1], "none")]


def test_what_can_change_is_not_shared_with_the_caller(app: Any, ctx: TaskCtx) -> None:
    @task_of(app)
    def append() -> None:
        ctx.tags.append("changed")

    with ctx.scope(tags=["a"]):
        append.delay()
        assert ctx.tags == ["a"]


def test_its_scope_has_ended_when_the_caller_goes_on(app: Any, ctx: TaskCtx) -> None:
    @task_of(app)
    def work() -> list[str]:
        told: list[str] = ctx.work
        return told

    with ctx.scope():
        told = work.delay().get()
        assert told == ["done"]


def test_a_value_of_another_type_is_refused_where_the_task_is_sent(ctx: TaskCtx, look: Any, seen: list[Any]) -> None:
    with ctx.scope(tags=("a", "tuple")):
        for send in (look.delay, look.apply, look.s().apply_async):
            with pytest.raises(TypeError, match=r"TaskCtx.tags can't travel with the task look"):
                send()
    assert seen == []


def test_outside_a_request_the_task_has_a_scope_with_the_defaults(ctx: TaskCtx, look: Any, seen: list[Any]) -> None:
    look.delay()
    assert seen == [("nobody", None, "none")]
    assert Scope.current(ctx) is None


@pytest.mark.parametrize("propagates", [False, True])
def test_what_the_teardown_raises_fails_the_task_and_not_the_callers_request(
    app: Any, ctx: TaskCtx, propagates: bool
) -> None:
    app.conf.task_eager_propagates = propagates

    @task_of(app)
    def commit() -> None:
        ctx.callback(raise_boom)

    with ctx.scope(user="ann"):
        if propagates:
            with pytest.raises(Boom):
                commit.delay()
        else:
            assert commit.delay().state == states.FAILURE
        assert ctx.user == "ann"


def test_each_try_begins_with_the_first_values(app: Any, ctx: TaskCtx) -> None:
    tries: list[Any] = []

    @task_of(app, bind=True)
    def flaky(self: Any) -> str:
        tries.append((ctx.user, ctx.work))
        ctx.user = "changed"
        if len(tries) < 3:
            raise self.retry(countdown=0)
        return "at last"

    with ctx.scope(user="ann"):
        assert flaky.delay().get() == "at last"
        assert ctx.user == "ann"
    assert tries == [("ann", ["Retry"]), ("ann", ["Retry"]), ("ann", ["done"])]


@pytest.mark.parametrize(
    ("compose", "runs"),
    [
        (lambda look: chain(look.s(), look.s(), look.s()), 3),
        (lambda look: group(look.s(), look.s()), 2),
        (lambda look: chord([look.s(), look.s()], look.s()), 3),
        (lambda look: look.s().set(link=[look.s(), look.s()]), 3),
    ],
    ids=["chain", "group", "chord", "links"],
)
def test_whatever_is_composed_each_task_has_the_callers_values(
    ctx: TaskCtx, look: Any, seen: list[Any], compose: Any, runs: int
) -> None:
    with ctx.scope(user="ann", secret="SESAME"):
        compose(look).delay()
        assert (ctx.user, ctx.secret) == ("ann", "SESAME")
    assert seen == [("ann", None, "none")] * runs


def test_callbacks_get_what_came_with_the_task_and_not_what_its_caller_has(
    ctx: TaskCtx, look: Any, seen: list[Any]
) -> None:
    with ctx.scope(user="ann"):
        look.apply_async(link=look.s(), headers={"tlctx.ctx": '{"user":"bob"}'})
    assert [user for user, *_ in seen] == ["bob", "bob"]


def test_an_error_callback_that_celery_calls_leaves_the_callers_request_alone(app: Any, ctx: TaskCtx) -> None:
    noted: list[Any] = []

    @task_of(app)
    def note(request: Any, error: Any, trace: Any) -> None:
        noted.append((ctx.user, ctx.secret))
        ctx.user = "changed"

    @task_of(app)
    def fail() -> None:
        ctx.user = "changed"
        raise ValueError

    with ctx.scope(user="ann", secret="SESAME"):
        fail.apply_async(link_error=note.s())
        assert ctx.user == "ann"
    assert noted == [("ann", "none")]


def test_a_task_inside_a_task_has_a_scope_of_its_own(app: Any, ctx: TaskCtx, look: Any, seen: list[Any]) -> None:
    after: list[str | None] = []

    @task_of(app)
    def outer() -> None:
        ctx.user = "of the outer task"
        look.delay()
        after.append(ctx.user)

    with ctx.scope(user="ann"):
        outer.delay()
        assert ctx.user == "ann"
    assert [user for user, *_ in seen] == after == ["of the outer task"]


def test_a_task_that_is_run_at_once_in_a_worker_is_kept_apart_too(ctx: TaskCtx) -> None:
    app = make_app(ctx)
    found: list[Any] = []

    @task_of(app)
    def inner() -> None:
        found.append((ctx.user, ctx.secret))
        ctx.user = "changed"

    @task_of(app)
    def outer() -> None:
        ctx.secret = "SESAME"
        inner.apply()
        found.append(ctx.user)

    with ctx.scope(user="ann"):
        outer.delay()
    run_all(app)
    assert found == [("ann", "none"), "ann"]
    assert list(messages_of(app)) == []


@pytest.mark.parametrize("eager", [False, True], ids=["sent", "eager"])
@pytest.mark.parametrize("inside", ["run", "call"])
def test_a_task_with_an_app_context_of_flasks_has_the_values_and_not_the_requests(
    ctx: TaskCtx, seen: list[Any], eager: bool, inside: str
) -> None:
    from celery import Task

    flask_app = Flask("shop")
    TLCtx(flask_app, ctx, lambda environ: {"user": "ann", "secret": "SESAME"})
    app = make_app(ctx, eager=eager)

    class FlaskTask(Task):  # type: ignore[misc]
        """As Flask's documentation has it."""

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            with flask_app.app_context():
                return self.run(*args, **kwargs)

    def look() -> None:
        seen.append((ctx.user, ctx.secret, ctx.work))
        ctx.user = "changed"

    def look_in_app_context() -> None:
        with flask_app.app_context():
            look()

    base, function = (FlaskTask, look) if inside == "call" else (Task, look_in_app_context)
    task = task_of(app, base=base)(function)

    @flask_app.get("/")
    def index() -> str:
        task.delay()
        return str(ctx.user)

    assert flask_app.test_client().get("/").text == "ann"
    if not eager:
        assert seen == []
        run_all(app)
    assert seen == [("ann", "none", ["done"])]
    assert Scope.current(ctx) is None
