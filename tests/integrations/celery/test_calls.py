"""Celery: tasks that are called as functions, and code of Celery's that is outside of the scope."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("celery", reason="needs Celery")

from celery import Task
from support.celery_app import TaskCtx, bare_app, run_all, task_of

from tlctx import OutsideRequestError, Scope

pytestmark = pytest.mark.usefixtures("no_scope_is_left")


class TestCallsAsFunctions:
    def test_they_run_in_the_callers_scope(self, app: Any, ctx: TaskCtx) -> None:
        @task_of(app)
        def rename() -> None:
            ctx.user = f"{ctx.user}, renamed"

        with ctx.scope(user="ann"):
            rename()
            rename.run()
            assert ctx.user == "ann, renamed, renamed"

    def test_they_need_a_scope_as_any_function_does(self, app: Any, ctx: TaskCtx) -> None:
        @task_of(app)
        def look() -> None:
            _ = ctx.user

        with pytest.raises(OutsideRequestError):
            look()

    def test_one_task_that_calls_another_or_itself_shares_its_scope(self, app: Any, ctx: TaskCtx) -> None:
        @task_of(app)
        def count(number: int) -> list[Scope | None]:
            inner = count(number - 1) if number else []
            return [Scope.current(ctx), *inner]

        found: list[Any] = []

        @task_of(app, bind=True)
        def outer(self: Any, number: int = 1) -> None:
            found.extend([Scope.current(ctx), *count(1)])
            if number:
                self.run(0)
                self(0)

        outer.delay()
        run_all(app)
        assert len(found) == 9
        assert len(set(found)) == 1

    def test_one_that_is_not_bound_to_the_application_yet_is_a_function_too(self, app: Any, ctx: TaskCtx) -> None:
        class Look(Task):  # type: ignore[misc]
            name = "look"

            def run(self) -> Any:
                return ctx.user

        app.tasks.register(Look())
        with ctx.scope(user="ann"):
            assert app._tasks["look"].run() == "ann"

    def test_celerys_map_calls_in_one_scope(self, app: Any, ctx: TaskCtx) -> None:
        found: list[Any] = []

        @task_of(app)
        def note(number: int) -> None:
            found.append((number, ctx.user, Scope.current(ctx)))

        with ctx.scope(user="ann"):
            note.map([1, 2]).delay()
        run_all(app)
        assert [each[:2] for each in found] == [(1, "ann"), (2, "ann")]
        assert found[0][2] is found[1][2]


class Called(Task):  # type: ignore[misc]
    """A base class as many applications have one."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.run(*args, **kwargs)


class CalledThroughSuper(Task):  # type: ignore[misc]
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return super().__call__(*args, **kwargs)


@pytest.mark.parametrize("base", [Called, CalledThroughSuper])
@pytest.mark.parametrize("how", ["sent", "applied"])
def test_a_base_class_with_a_call_of_its_own_changes_nothing(app: Any, ctx: TaskCtx, base: Any, how: str) -> None:
    found: list[Any] = []

    @task_of(app, base=base)
    def note() -> None:
        found.append((ctx.user, ctx.work))
        ctx.user = "changed"

    with ctx.scope(user="ann"):
        note.apply() if how == "applied" else note.delay()
        assert ctx.user == "ann"
    run_all(app)
    assert found == [("ann", ["done"])]


def test_a_handler_of_celerys_is_outside_and_the_error_says_so(app: Any, ctx: TaskCtx) -> None:
    errors: list[str] = []

    class Handling(Task):  # type: ignore[misc]
        def before_start(self, *_: Any) -> None:
            errors.append(error_of(lambda: ctx.user))

        def on_success(self, *_: Any) -> None:
            errors.append(error_of(lambda: setattr(ctx, "user", "ann")))

    @task_of(app, base=Handling, name="handled")
    def handled() -> None: ...

    handled.delay()
    run_all(app)
    assert len(errors) == 2
    for error in errors:
        assert "no request of this TaskCtx is running: the scope of the task handled is open while its own" in error


def test_in_a_task_of_an_application_that_lacks_the_context_the_error_says_so(ctx: TaskCtx) -> None:
    other = bare_app()
    errors: list[str] = []

    @task_of(other, name="bare")
    def bare() -> None:
        errors.append(error_of(lambda: ctx.user))

    bare.delay()
    run_all(other)
    (error,) = errors
    assert f"a Celery task runs here, bare, and the context is not installed on its application, {other!r}" in error
    assert "install(app, ctx, fields=[...])" in error


def error_of(use: Any) -> str:
    with pytest.raises(OutsideRequestError) as caught:
        use()
    return str(caught.value)
