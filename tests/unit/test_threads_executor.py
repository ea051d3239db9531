"""The executor: jobs in scopes of their own, and all else as in `concurrent.futures`."""

from __future__ import annotations

import concurrent.futures
import contextvars
import gc
import sys
import threading
import weakref
from typing import Any

import pytest
from support.contexts import UserCtx
from support.helpers import PATIENCE

import tlctx
from tlctx import OutsideRequestError, RequestContext, RequestEndedError, Scope, per_request
from tlctx.lowlevel import open_scopes, propagate
from tlctx.threads import ThreadPoolExecutor, wrap


class Ctx(RequestContext):
    user: str = "nobody"

    @per_request
    def session(self) -> Any:
        yield (session := Session())
        session.closed_by = threading.get_ident()


class Session:
    def __init__(self) -> None:
        self.made_by = threading.get_ident()
        self.closed_by: int | None = None


@pytest.fixture
def ctx() -> Any:
    return Ctx()


def who(context: Any) -> str:
    return context.user  # type: ignore[no-any-return]


def test_a_job_has_the_values_of_the_moment_in_which_it_is_submitted(ctx: Any) -> None:
    with ThreadPoolExecutor(2, contexts=[ctx]) as pool:
        with ctx.scope(user="ann"):
            first = pool.submit(who, ctx)
            ctx.user = "bob"
            second = pool.submit(who, ctx)
            ctx.user = "later"
        assert [first.result(PATIENCE), second.result(PATIENCE)] == ["ann", "bob"]


def test_the_default_context_needs_not_be_named() -> None:
    with ThreadPoolExecutor(1) as pool, tlctx.ctx.scope(user="ann"):
        assert pool.submit(who, tlctx.ctx).result(PATIENCE) == "ann"


def test_it_is_an_executor_of_the_standard_library_with_its_arguments(ctx: Any) -> None:
    pool = ThreadPoolExecutor(max_workers=3, thread_name_prefix="mail", contexts=[ctx])
    assert isinstance(pool, concurrent.futures.ThreadPoolExecutor)
    with pool, ctx.scope():
        assert pool.submit(lambda: threading.current_thread().name).result(PATIENCE) == "mail_0"
        assert pool.submit(lambda *args, **kwargs: (args, kwargs), 1, fn=2).result(PATIENCE) == ((1,), {"fn": 2})
    with pytest.raises(ValueError, match="max_workers"):
        ThreadPoolExecutor(0)
    with pytest.raises(RuntimeError, match="after shutdown"):
        pool.submit(who, ctx)


def test_each_job_makes_a_session_of_its_own_and_closes_it_on_its_thread(ctx: Any) -> None:
    with ThreadPoolExecutor(2, contexts=[ctx]) as pool, ctx.scope():
        own = ctx.session
        sessions = [pool.submit(lambda: ctx.session).result(PATIENCE) for _ in range(3)]
        assert len({id(session) for session in [own, *sessions]}) == 4
        assert all(session.closed_by == session.made_by != threading.get_ident() for session in sessions)
        assert own.closed_by is None


def test_the_result_is_there_only_when_the_scope_has_ended(ctx: Any) -> None:
    with ThreadPoolExecutor(1, contexts=[ctx]) as pool, ctx.scope():
        scope = pool.submit(lambda: (ctx.session, Scope.current(ctx))[1]).result(PATIENCE)
        assert scope is not None
        assert scope.ended


def test_the_future_has_what_the_teardown_of_the_job_raises(ctx: Any) -> None:
    with ThreadPoolExecutor(1, contexts=[ctx]) as pool, ctx.scope():
        future = pool.submit(ctx.callback, int, "no number")
        assert isinstance(future.exception(PATIENCE), ValueError)
        assert Scope.current(ctx) is not None


@pytest.mark.parametrize("error", [ValueError, SystemExit])
def test_the_future_has_what_the_job_raises_and_the_thread_goes_on(ctx: Any, error: Any) -> None:
    def fail() -> None:
        raise error

    with ThreadPoolExecutor(1, contexts=[ctx]) as pool, ctx.scope(user="ann"):
        assert isinstance(pool.submit(fail).exception(PATIENCE), error)
        assert pool.submit(who, ctx).result(PATIENCE) == "ann"


def test_a_thread_that_has_run_a_job_shows_nothing_of_it_to_the_next(ctx: Any) -> None:
    def write() -> None:
        ctx.user = "left behind"

    plain = concurrent.futures.ThreadPoolExecutor.submit
    with ThreadPoolExecutor(1, contexts=[ctx]) as pool:
        with ctx.scope(user="ann"):
            pool.submit(write).result(PATIENCE)
        assert plain(pool, lambda: ctx.get("user", None)).result(PATIENCE) is None
        assert plain(pool, lambda: Scope.current(ctx)).result(PATIENCE) is None


def test_what_is_submitted_outside_a_request_runs_outside_one(ctx: Any) -> None:
    with ThreadPoolExecutor(1, contexts=[ctx]) as pool:
        assert pool.submit(len, "four").result(PATIENCE) == 4
        assert isinstance(pool.submit(who, ctx).exception(PATIENCE), OutsideRequestError)


def test_of_several_contexts_those_travel_of_which_a_request_runs(ctx: Any) -> None:
    other = Ctx()
    with ThreadPoolExecutor(1, contexts=[ctx, other]) as pool, ctx.scope(user="ann"):
        assert pool.submit(lambda: (ctx.user, other.get("user", None))).result(PATIENCE) == ("ann", None)
        with other.scope(user="bob"):
            assert pool.submit(lambda: (ctx.user, other.user)).result(PATIENCE) == ("ann", "bob")


def test_code_that_its_request_has_left_behind_submits_nothing(ctx: Any) -> None:
    with ctx.scope() as scope, propagate(scope):
        context = contextvars.copy_context()
    with ThreadPoolExecutor(1, contexts=[ctx]) as pool, pytest.raises(RequestEndedError, match="taking a snapshot"):
        context.run(pool.submit, who, ctx)


def test_the_initializer_runs_outside_any_scope(ctx: Any) -> None:
    seen: list[Any] = []
    with ThreadPoolExecutor(1, "", seen.append, ("started",), contexts=[ctx]) as pool, ctx.scope(user="ann"):
        assert pool.submit(who, ctx).result(PATIENCE) == "ann"
    assert seen == ["started"]

    def look() -> None:
        seen.append(Scope.current(ctx))

    with ThreadPoolExecutor(1, initializer=look, contexts=[ctx]) as pool, ctx.scope(user="ann") as scope:
        with propagate(scope):
            assert pool.submit(who, ctx).result(PATIENCE) == "ann"
    assert seen == ["started", None]


def test_a_job_may_submit_jobs(ctx: Any) -> None:
    def outer() -> tuple[str, str]:
        ctx.user = f"{ctx.user} and bob"
        return pool.submit(inner).result(PATIENCE)

    def inner() -> tuple[str, str]:
        return ctx.user, str(Scope.current(ctx)).partition(" of ")[2]

    with ThreadPoolExecutor(2, contexts=[ctx]) as pool, ctx.scope(user="ann") as scope:
        assert pool.submit(outer).result(PATIENCE) == ("ann and bob", str(scope))
        assert ctx.user == "ann"


def test_a_wrapped_function_keeps_its_own_snapshot(ctx: Any) -> None:
    with ThreadPoolExecutor(1, contexts=[ctx]) as pool:
        with ctx.scope(user="ann"):
            of_ann = wrap(lambda: (ctx.user, len([scope for scope in open_scopes() if scope.context is ctx])), ctx)
        with ctx.scope(user="bob"):
            assert pool.submit(of_ann).result(PATIENCE) == ("ann", 2)


def test_a_job_that_is_cancelled_begins_nothing_and_keeps_nothing(ctx: Any) -> None:
    class Value:
        pass

    busy, release = threading.Event(), threading.Event()

    def block() -> None:
        busy.set()
        release.wait(PATIENCE)

    begun: list[Any] = []

    class Recorder(tlctx.lowlevel.Observer):
        def begin(self, scope: Scope) -> None:
            begun.append(scope.serial)

    recorder = Recorder()
    with ThreadPoolExecutor(1, contexts=[ctx]) as pool:
        pool.submit(block)
        assert busy.wait(PATIENCE)
        with ctx.scope(user=Value()):
            value = weakref.ref(ctx.user)
            futures = [pool.submit(who, ctx) for _ in range(3)]
        tlctx.lowlevel.add_observer(recorder)
        try:
            assert futures[0].cancel()
            pool.shutdown(wait=False, cancel_futures=True)
            release.set()
            pool.shutdown()
        finally:
            tlctx.lowlevel.remove_observer(recorder)
    assert all(future.cancelled() for future in futures)
    assert begun == []
    gc.collect()
    assert value() is None


def test_a_future_that_is_kept_does_not_keep_the_values(ctx: Any) -> None:
    class Value:
        pass

    def fail() -> None:
        raise ValueError

    with ThreadPoolExecutor(1, contexts=[ctx]) as pool:
        with ctx.scope(user=Value()):
            value = weakref.ref(ctx.user)
            futures: list[Any] = [pool.submit(len, "x")]
            if sys.version_info < (3, 14):  # where the pool's own frame, in the traceback, has what it has called
                futures.append(pool.submit(fail))
        concurrent.futures.wait(futures, PATIENCE)
        with ctx.scope():
            pool.submit(len, "another job, so that the thread lets go of the last").result(PATIENCE)
    assert [type(future.exception()) for future in futures[1:]] == [ValueError] * (sys.version_info < (3, 14))
    assert value() is None


def test_context_variables_travel_by_choice(ctx: Any) -> None:
    span: contextvars.ContextVar[str] = contextvars.ContextVar("span", default="none")
    with ctx.scope(user="ann"), ThreadPoolExecutor(1, contexts=[ctx], contextvars=True) as pool:
        token = span.set("outer")
        assert pool.submit(lambda: (span.get(), ctx.user)).result(PATIENCE) == ("outer", "ann")
        span.reset(token)
        assert pool.submit(span.get).result(PATIENCE) == "none"
    with ThreadPoolExecutor(1, contexts=(), contextvars=True) as pool:
        token = span.set("outside")
        assert pool.submit(span.get).result(PATIENCE) == "outside"
        span.reset(token)


def test_one_context_in_place_of_several_is_refused_with_a_hint(ctx: Any) -> None:
    with pytest.raises(TypeError, match=r"contexts=\[ctx\]"):
        ThreadPoolExecutor(1, contexts=ctx)
    with pytest.raises(TypeError, match="give an instance, not the class"):
        ThreadPoolExecutor(1, contexts=[UserCtx])  # type: ignore[list-item]


def test_many_jobs_of_many_requests_see_no_foreign_value(ctx: Any) -> None:
    def job(number: int) -> bool:
        before = ctx.user
        ctx.user = f"job {number}"
        return before == f"user {number}" and ctx.user == f"job {number}"  # type: ignore[no-any-return]

    def request(number: int) -> list[Any]:
        with ctx.scope(user=f"user {number}"):
            return [pool.submit(job, number) for _ in range(10)]

    with ThreadPoolExecutor(4, contexts=[ctx]) as pool, concurrent.futures.ThreadPoolExecutor(4) as server:
        futures = [future for requested in server.map(request, range(200)) for future in requested]
        assert all(future.result(PATIENCE) for future in futures)
    assert ctx._local__impl.dicts == {}
