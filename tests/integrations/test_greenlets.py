"""Greenlets that take turns on a thread, where gevent or eventlet has not patched `threading`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from support.contexts import UserCtx, seen
from support.helpers import run_program
from support.requests import REQUEST

from tlctx import ContextMiddleware, Scope
from tlctx._core.implementation import peek_dict
from tlctx.lowlevel import Observer, add_observer, remove_observer

greenlet = pytest.importorskip("greenlet", reason="needs the package greenlet")


@pytest.fixture
def ctx() -> UserCtx:
    return UserCtx()


def take_turns(*jobs: Any) -> None:
    """Run each job in a greenlet of its own; each switches to the hub when it waits."""
    hub = greenlet.getcurrent()
    running = [greenlet.greenlet(lambda job=job: job(hub.switch)) for job in jobs]
    while running:
        running = [one for one in running if not (one.switch(), one.dead)[1]]


def test_requests_that_take_turns_each_see_their_own_values(ctx: UserCtx) -> None:
    found: list[tuple[str, str]] = []

    def request(user: str) -> Any:
        def serve(wait: Any) -> None:
            def app(environ: Any, start_response: Any) -> Iterator[bytes]:
                ctx.user = user
                wait()
                found.append((user, ctx.user))
                yield b"x"
                wait()
                found.append((user, ctx.user))

            body = ContextMiddleware(app, ctx)(dict(REQUEST), lambda *args: lambda data: None)
            for _ in body:
                assert seen(ctx) == "nothing"
                wait()
            body.close()  # type: ignore[attr-defined]
            assert seen(ctx) == "nothing"

        return serve

    take_turns(request("ann"), request("bob"))
    assert sorted(found) == [("ann", "ann")] * 2 + [("bob", "bob")] * 2
    assert peek_dict(ctx) is None


def test_scopes_by_hand_are_told_apart_too(ctx: UserCtx) -> None:
    found: list[tuple[str, str]] = []

    def job(user: str) -> Any:
        def run(wait: Any) -> None:
            with ctx.scope(user=user):
                wait()
                with ctx.scope(user=f"inner {user}"):
                    wait()
                    found.append((user, ctx.user))
                found.append((user, ctx.user))

        return run

    take_turns(job("ann"), job("bob"))
    assert sorted(found) == [("ann", "ann"), ("ann", "inner ann"), ("bob", "bob"), ("bob", "inner bob")]


def test_a_greenlet_inside_a_scope_of_its_thread_can_not_open_one(ctx: UserCtx) -> None:
    def job(wait: Any) -> None:
        with pytest.raises(RuntimeError, match="can't be opened in a greenlet while its thread runs inside another"):
            Scope(ctx).bind()
        with pytest.raises(RuntimeError, match="can't be opened in a greenlet"), ctx.scope():
            raise AssertionError
        assert ctx.user == "of the thread"

    with ctx.scope(user="of the thread"):
        take_turns(job)
        assert ctx.user == "of the thread"


def test_the_threads_own_greenlet_binds_as_a_thread_does(ctx: UserCtx) -> None:
    with ctx.scope(user="ann") as scope:
        assert peek_dict(ctx) is scope.namespace


def test_observers_are_told_once(ctx: UserCtx) -> None:
    class Events(Observer):
        def begin(self, scope: Scope) -> None:
            events.append("begin")

        def end(self, scope: Scope, error: BaseException | None) -> None:
            events.append("end")

    def job(wait: Any) -> None:
        scope = Scope(ctx)
        for _ in range(2):
            scope.unbind(scope.bind())
        scope.close()

    events: list[str] = []
    observer = Events()
    add_observer(observer)
    try:
        take_turns(job)
    finally:
        remove_observer(observer)
    assert events == ["begin", "end"]


def test_a_scope_that_ran_in_a_greenlet_before_is_taken_off_a_thread_that_closes_it(ctx: UserCtx) -> None:
    scope = Scope(ctx)
    take_turns(lambda wait: scope.unbind(scope.bind()))
    scope.bind()
    scope.leave()
    assert peek_dict(ctx) is None


@pytest.mark.parametrize(
    "patch", ["import gevent.monkey; gevent.monkey.patch_all()", "import eventlet; eventlet.monkey_patch()"]
)
def test_patched_greenlets_are_threads(patch: str) -> None:
    pytest.importorskip(patch.split()[1].rstrip(";").split(".")[0], reason="needs gevent and eventlet")
    program = f"""
        import warnings; warnings.simplefilter("ignore")
        {patch}
        import threading, time, tlctx
        from tlctx import ctx
        from tlctx._core.implementation import peek_dict

        def job(user):
            with ctx.scope(user=user) as scope:
                time.sleep(0)
                found.append((user, ctx.user, peek_dict(ctx) is scope.namespace))

        found = []
        threads = [threading.Thread(target=job, args=(user,)) for user in ("ann", "bob")]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        print(sorted(found))
        """
    assert run_program(program) == "[('ann', 'ann', True), ('bob', 'bob', True)]\n"


LAZY = """
import greenlet
import tlctx
from tlctx import Scope, ctx

def user():
    scope = Scope(ctx)
    displaced = scope.bind()
    try:
        ctx.user = "ann"
        return ctx.user
    finally:
        scope.unbind(displaced)
        scope.close()

other = greenlet.greenlet(user)
print(user(), other.switch())
"""


def test_requests_are_served_where_all_imports_are_lazy() -> None:
    assert run_program(LAZY, PYTHON_LAZY_IMPORTS="all") == "ann ann\n"
