"""Timer: `threading`'s, whose function runs in a scope of its own."""

from __future__ import annotations

import threading
import weakref
from typing import Any

from support.helpers import PATIENCE
from support.threads import join_thread

import tlctx
from tlctx import Scope
from tlctx.threads import Timer

AT_ONCE = 0.0
NEVER = 10 * PATIENCE


def test_there_is_no_scope_while_a_timer_waits_and_none_when_it_is_cancelled(ctx: Any) -> None:
    class Value:
        pass

    begun: list[Any] = []

    class Recorder(tlctx.lowlevel.Observer):
        def begin(self, scope: Scope) -> None:
            begun.append(scope)

    recorder = Recorder()
    timer = Timer(NEVER, begun.append, ("called",), contexts=[ctx])
    with ctx.scope(user=Value()):
        value = weakref.ref(ctx.user)
        tlctx.lowlevel.add_observer(recorder)
        try:
            timer.start()
            timer.cancel()
            join_thread(timer)
        finally:
            tlctx.lowlevel.remove_observer(recorder)
    assert begun == []
    assert value() is None


def test_a_timer_has_the_values_of_its_start_also_after_the_request(ctx: Any) -> None:
    seen: list[Any] = []
    go_on = threading.Event()

    def job() -> None:
        go_on.wait(PATIENCE)
        seen.append(ctx.user)

    timer = Timer(AT_ONCE, job, contexts=[ctx])
    with ctx.scope(user="ann"):
        timer.start()
        ctx.user = "later"
    go_on.set()
    join_thread(timer)
    assert seen == ["ann"]


def test_a_timer_that_repeats_has_a_scope_for_each_time(ctx: Any) -> None:
    class Repeating(Timer):
        def run(self) -> None:
            for _ in range(3):
                self.function(*self.args, **self.kwargs)

    names: list[Any] = []
    timer = Repeating(NEVER, lambda: names.append((ctx.user, str(Scope.current(ctx)))), contexts=[ctx])
    with ctx.scope(user="ann"):
        timer.start()
        join_thread(timer)
    assert [user for user, _ in names] == ["ann"] * 3
    assert len(set(names)) == 3


def test_a_timer_that_is_run_by_hand_calls_its_function() -> None:
    seen: list[Any] = []
    Timer(AT_ONCE, seen.append, ("called",)).run()
    assert seen == ["called"]
