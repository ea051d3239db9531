"""gevent's `spawn` and `Pool`, and the executor and the thread where gevent has patched."""

from __future__ import annotations

from typing import Any

import gevent
import pytest
from support.contexts import UserCtx
from support.helpers import PATIENCE, run_program

import tlctx
from tlctx import OutsideRequestError, RequestContext, Scope, per_request
from tlctx.threads import snapshot
from tlctx.threads.gevent import Pool, spawn

PATCHED = """
    import gevent.monkey; gevent.monkey.patch_all()
    import gevent, threading
    from tlctx import RequestContext, Scope, per_request
    from tlctx.threads import Thread, ThreadPoolExecutor, snapshot
    from tlctx.threads.gevent import Pool, spawn

    class Ctx(RequestContext):
        user: str = "nobody"

        @per_request
        def session(self):
            yield (session := object())
            closed.append(session)

    ctx, closed, wrong = Ctx(), [], []
    pool, executor = Pool(10, contexts=[ctx]), ThreadPoolExecutor(10, contexts=[ctx])

    def job(user):
        session = ctx.session
        for step in range(3):
            if ctx.user != f"{user}{step * '!'}" or ctx.session is not session:
                wrong.append(user)
            ctx.user += "!"
            gevent.sleep(0)

    def request(number):
        user = f"user {number}"
        with ctx.scope(user=user):
            jobs = [spawn(job, user, contexts=[ctx]), pool.spawn(job, user)]
            future = executor.submit(job, user)
            thread = Thread(target=job, args=(user,), contexts=[ctx])
            thread.start()
            gevent.sleep(0)
            pool.map(job, [user])
            pool.apply(job, (user,))
            gevent.joinall(jobs, raise_error=True)
            future.result()
            thread.join()
            if ctx.user != user:
                wrong.append(user)

    gevent.joinall([gevent.spawn(request, number) for number in range(50)], raise_error=True)
    executor.shutdown()
    print(wrong, len(closed), len(set(map(id, closed))), len(ctx._local__impl.dicts))
"""


class Ctx(RequestContext):
    user: str = "nobody"

    @per_request
    def session(self) -> object:
        return object()


@pytest.fixture
def ctx() -> Any:
    return Ctx()


def test_where_gevent_has_patched_each_greenlet_has_a_scope_of_its_own() -> None:
    assert run_program(PATCHED) == "[] 300 300 0\n"


def test_a_greenlet_has_the_values_of_the_moment_in_which_it_is_spawned(ctx: Any) -> None:
    def job(first: int, last: int = 0) -> tuple[str, int, int]:
        return ctx.user, first, last

    with Scope(ctx, label="a request") as scope:
        ctx.user = "ann"
        own = ctx.session
        pool = Pool(2, contexts=[ctx])
        greenlets: list[Any] = [
            spawn(job, 1, last=2, contexts=[ctx]), pool.spawn(job, 1, last=2), pool.apply_async(job, (1,), {"last": 2}),
        ]  # fmt: skip
        session = spawn(lambda: ctx.session, contexts=[ctx])
        name = spawn(lambda: str(Scope.current(ctx)), contexts=[ctx])
        ctx.user = "later"
    assert [greenlet.get(timeout=PATIENCE) for greenlet in greenlets] == [("ann", 1, 2)] * 3
    assert session.get(timeout=PATIENCE) is not own
    assert name.get(timeout=PATIENCE).endswith(f" of {scope}")


def test_the_default_context_needs_not_be_named() -> None:
    def job(context: Any) -> Any:
        return context.user

    with tlctx.ctx.scope(user="ann"):
        greenlets = [spawn(job, tlctx.ctx), Pool().spawn(job, context=tlctx.ctx)]
    assert [greenlet.get(timeout=PATIENCE) for greenlet in greenlets] == ["ann", "ann"]


def test_all_calls_of_a_map_have_the_values_of_its_own_moment(ctx: Any) -> None:
    def job(*given: Any) -> Any:
        return ctx.user, given

    pool = Pool(1, contexts=[ctx])
    with ctx.scope(user="ann"):
        mapped = pool.map_async(job, [1, 2])
        late = pool.imap(job, [1, 2], "ab")
        unordered = pool.imap_unordered(job, [1, 2], maxsize=1)
    assert mapped.get(timeout=PATIENCE) == [("ann", (1,)), ("ann", (2,))]
    assert list(late) == [("ann", (1, "a")), ("ann", (2, "b"))]
    assert sorted(unordered) == [("ann", (1,)), ("ann", (2,))]


def test_a_call_that_waits_for_a_place_in_the_pool_keeps_its_values(ctx: Any) -> None:
    pool, release = Pool(1, contexts=[ctx]), gevent.event.Event()
    pool.spawn(release.wait)
    with ctx.scope(user="ann"):
        waiting = pool.apply_async(lambda: ctx.user)
    release.set()
    assert waiting.get(timeout=PATIENCE) == "ann"


def test_outside_a_request_a_greenlet_runs_outside_one(ctx: Any) -> None:
    assert spawn(len, "four", contexts=[ctx]).get(timeout=PATIENCE) == 4
    with pytest.raises(OutsideRequestError):
        Pool(contexts=[ctx]).spawn(lambda: ctx.user).get(timeout=PATIENCE)


def test_a_greenlet_that_is_killed_ends_its_scope_and_one_that_never_ran_begins_none(ctx: Any) -> None:
    log: list[Any] = []

    def job() -> None:
        ctx.callback(log.append, "closed")
        gevent.sleep(PATIENCE)

    with ctx.scope():
        running, waiting = spawn(job, contexts=[ctx]), spawn(job, contexts=[ctx])
    waiting.kill()
    gevent.sleep(0)
    running.kill()
    assert log == ["closed"]


def test_a_wrapped_function_is_not_wrapped_again(ctx: Any) -> None:
    with ctx.scope(user="ann"):
        wrapped = snapshot(ctx).wrap(lambda: ctx.user)
    with ctx.scope(user="bob"):
        greenlet = spawn(wrapped, contexts=[ctx])
        with pytest.raises(TypeError, match="contexts="):
            spawn(len, "x", contexts=ctx)
        with pytest.raises(TypeError, match="must be a RequestContext"):
            Pool(contexts=[UserCtx])  # type: ignore[list-item]
    assert greenlet.get(timeout=PATIENCE) == "ann"


def test_where_gevent_has_not_patched_a_scope_beside_the_thread_s_own_is_refused(ctx: Any) -> None:
    with ctx.scope(user="ann"):
        greenlet = spawn(lambda: ctx.user, contexts=[ctx])
        with pytest.raises(RuntimeError, match="Have gevent or eventlet patch threading first"):
            greenlet.get(timeout=PATIENCE)


def test_only_this_module_needs_gevent() -> None:
    program = """
        import sys
        sys.modules["gevent"] = None
        import tlctx.threads
        try:
            import tlctx.threads.gevent
        except ImportError as error:
            print(error.name)
    """
    assert run_program(program) == "gevent.pool\n"
