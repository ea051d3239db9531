"""Celery: each task runs in a scope of its own, which ends before its result is stored and its callbacks are sent."""

from __future__ import annotations

import functools
from typing import Any
from uuid import uuid4

import celery._state
import pytest
from celery import Task, shared_task, signals, states
from celery.exceptions import Ignore, Reject
from support.celery_app import TaskCtx, bare_app, make_app, messages_of, run_all, run_one, task_of
from support.helpers import Boom, raise_boom

from tlctx import OutsideRequestError, RequestContext, RequestEndedError, Scope
from tlctx.celery import install
from tlctx.lowlevel import open_scopes


@pytest.fixture
def ctx() -> TaskCtx:
    return TaskCtx()


@pytest.fixture
def app(ctx: TaskCtx) -> Any:
    return make_app(ctx)


@pytest.fixture(autouse=True)
def _no_scope_is_left(ctx: TaskCtx) -> Any:
    yield
    assert Scope.current(ctx) is None
    assert [scope for scope in open_scopes() if scope.context is ctx] == []


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
    assert f"it is not installed on {other!r}, whose task bare runs here" in error
    assert "install(app, ctx, fields=[...])" in error


def error_of(use: Any) -> str:
    with pytest.raises(OutsideRequestError) as caught:
        use()
    return str(caught.value)


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
