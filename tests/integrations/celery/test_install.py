"""Celery: `install`, whatever a task is made of, and whenever."""

from __future__ import annotations

import functools
from typing import Any
from uuid import uuid4

import pytest

pytest.importorskip("celery", reason="needs Celery")

import celery._state
from celery import Task, shared_task
from support.celery_app import TaskCtx, bare_app, make_app, messages_of, run_all, run_one, task_of

from tlctx import RequestContext
from tlctx.celery import install

pytestmark = pytest.mark.usefixtures("no_scope_is_left")


class TestEveryWayToMakeATask:
    """Before and after `install`, and after the application was finalized."""

    @pytest.fixture(params=["before", "after", "after finalize", "finalize before"])
    def when(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    def made(self, ctx: TaskCtx, when: str, make: Any) -> tuple[Any, Any]:
        app = bare_app()
        if when in ("before", "finalize before"):
            task = make(app)
            if when == "finalize before":
                app.finalize()
            install(app, ctx, ["user"])
            return app, task
        install(app, ctx, ["user"])
        if when == "after finalize":
            app.finalize()
        return app, make(app)

    def check(self, app: Any, ctx: TaskCtx, task: Any, found: list[Any]) -> None:
        with ctx.scope(user="ann"):
            app.tasks[task.name].delay()
            task.apply()
        run_all(app)
        assert found == ["ann", "ann"]

    def test_a_function(self, ctx: TaskCtx, when: str) -> None:
        found: list[Any] = []

        def note() -> None:
            found.append(ctx.user)

        app, task = self.made(ctx, when, lambda app: task_of(app)(note))
        self.check(app, ctx, task, found)

    def test_a_function_that_is_applied_at_once(self, ctx: TaskCtx, when: str) -> None:
        found: list[Any] = []

        def note() -> None:
            found.append((ctx.user, ctx.secret))

        _, task = self.made(ctx, when, lambda app: task_of(app)(note))
        with ctx.scope(user="ann", secret="SESAME"):
            task.apply()  # the first thing that anybody asks of it
        assert found == [("ann", "none")]

    def test_a_decorated_function_with_a_base_class(self, ctx: TaskCtx, when: str) -> None:
        found: list[Any] = []

        def twice(function: Any) -> Any:
            @functools.wraps(function)
            def call(*args: Any) -> None:
                function(*args)
                found.pop()
                function(*args)

            return call

        @twice
        def note(self: Any) -> None:
            assert self.request.id
            found.append(ctx.user)

        app, task = self.made(ctx, when, lambda app: task_of(app, bind=True, base=Task)(note))
        self.check(app, ctx, task, found)

    def test_a_class(self, ctx: TaskCtx, when: str) -> None:
        found: list[Any] = []

        class Note(Task):  # type: ignore[misc]
            name = "note"
            autoretry_for = (OSError,)

            def run(self) -> None:
                found.append(ctx.user)

        app, task = self.made(ctx, when, lambda app: app.register_task(Note))
        self.check(app, ctx, task, found)

    @pytest.mark.filterwarnings("ignore:Task name")  # of Celery's: what is registered is a proxy
    def test_one_that_is_registered_again(self, ctx: TaskCtx, when: str) -> None:
        found: list[Any] = []

        def note() -> None:
            found.append(ctx.user)

        def make(app: Any) -> Any:
            return app.register_task(task_of(app)(note))

        app, task = self.made(ctx, when, make)
        self.check(app, ctx, task, found)

    @pytest.fixture
    def _others_do_not_get_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(celery._state, "_on_app_finalizers", set(celery._state._on_app_finalizers))

    @pytest.mark.usefixtures("_others_do_not_get_it")
    def test_a_shared_task(self, ctx: TaskCtx, when: str) -> None:
        found: list[Any] = []

        def note() -> None:
            found.append(ctx.user)

        name = f"shared {uuid4()}"  # applications of other tests may be there still

        def make(app: Any) -> Any:
            shared_task(name=name)(note)
            return app.tasks[name]

        app, task = self.made(ctx, when, make)
        self.check(app, ctx, task, found)


def test_what_the_settings_put_in_the_place_of_a_method_runs_in_the_scope(ctx: TaskCtx) -> None:
    app = bare_app()
    install(app, ctx, ["user"])
    found: list[Any] = []
    app.conf.task_annotations = {"annotated": {"run": lambda self: found.append((self.name, ctx.user))}}

    @task_of(app, name="annotated")
    def annotated() -> None: ...

    with ctx.scope(user="ann"):
        annotated.delay()
    run_all(app)
    assert found == [("annotated", "ann")]


def test_a_registry_that_two_applications_share_prepares_for_both() -> None:
    first, second = TaskCtx(), TaskCtx()
    one, two = bare_app(), bare_app()
    two._tasks = one._tasks
    install(one, first, ["user"], name="first")
    install(two, second, ["user"], name="second")
    found: list[Any] = []

    @task_of(one, name="shared")
    def look() -> None:
        found.append((first.user, second.user))

    with first.scope(user="ann"), second.scope(user="bob"):
        one.send_task("shared")
    run_all(one)
    assert found == [("ann", "nobody")]


class Tenant(RequestContext):
    title: str


def test_two_contexts_each_have_their_values_and_their_teardown(app: Any, ctx: TaskCtx) -> None:
    tenant = Tenant()
    found: list[Any] = []

    @task_of(app)
    def note() -> None:
        found.append((ctx.user, tenant.title))
        ctx.callback(found.append, "user's end")
        tenant.callback(found.append, "tenant's end")

    install(app, tenant, ["title"], name="tenant")
    with ctx.scope(user="ann"), tenant.scope(title="Acme"):
        note.delay()
    (message,) = messages_of(app)
    assert message.headers["tlctx.ctx"] == '{"user":"ann"}'
    assert message.headers["tlctx.tenant"] == '{"title":"Acme"}'
    run_one(app, message)
    assert sorted(map(str, found)) == ["('ann', 'Acme')", "tenant's end", "user's end"]


class TestInstalling:
    def test_the_arguments_are_checked(self, ctx: TaskCtx) -> None:
        app = bare_app()
        with pytest.raises(TypeError, match="the application comes first, a Celery, not TaskCtx"):
            install(ctx, app, ["user"])
        with pytest.raises(TypeError, match="the context must be a RequestContext, not type"):
            install(app, TaskCtx, ["user"])  # type: ignore[arg-type]
        for fields in ("user", [b"user"], [1]):
            with pytest.raises(TypeError, match="fields must be names"):
                install(app, ctx, fields)  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("name", "kind", "text"),
        [
            ("work", TypeError, "TaskCtx.work can't travel: what per_request makes is made anew"),
            ("scope", TypeError, "TaskCtx.scope can't travel: it is not a field"),
            ("usr", ValueError, "TaskCtx does not declare 'usr'"),
        ],
    )
    def test_a_name_that_is_not_a_field_is_refused(self, ctx: TaskCtx, name: str, kind: Any, text: str) -> None:
        with pytest.raises(kind, match=text):
            install(bare_app(), ctx, ["user", name])

    def test_what_no_copy_may_have_is_refused(self) -> None:
        class Guarded(RequestContext, not_copied=["token"]):
            user: str = "nobody"
            token: str = "SESAME"

        with pytest.raises(ValueError, match=r"Guarded.token can't travel: the class lists it in not_copied"):
            install(bare_app(), Guarded(), ["user", "token"])

    def test_where_nothing_is_declared_any_name_is_taken(self) -> None:
        from tlctx import ctx

        app = make_app(ctx, fields=["anything"])
        with ctx.scope(anything=1):
            app.send_task("look")
        assert [message.headers["tlctx.ctx"] for message in messages_of(app)] == ['{"anything":1}']

    def test_a_context_or_a_name_is_installed_once(self, app: Any, ctx: TaskCtx) -> None:
        with pytest.raises(RuntimeError, match="has this context already"):
            install(app, ctx, ["user"], name="again")
        with pytest.raises(RuntimeError, match="has a context named 'ctx' already"):
            install(app, TaskCtx(), ["user"])
        other = bare_app()
        install(other, ctx, ["user"])  # another application

    def test_one_that_was_refused_leaves_nothing(self, ctx: TaskCtx) -> None:
        app = bare_app()
        with pytest.raises(ValueError, match="does not declare"):
            install(app, ctx, ["usr"])
        install(app, ctx, ["user"])
