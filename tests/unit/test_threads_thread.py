"""Thread and Timer: `threading`'s, in scopes of their own."""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from typing import Any

import pytest
from support.helpers import PATIENCE
from support.threads import join_thread

import tlctx
from tlctx import RequestEndedError, Scope
from tlctx.threads import Thread, Timer

AT_ONCE = 0.0


class Value:
    pass


@pytest.fixture
def uncaught(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What goes to `threading.excepthook`."""
    errors: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", lambda given: errors.append(given.exc_value))
    return errors


def test_a_thread_has_the_values_of_the_request_that_starts_it(ctx: Any) -> None:
    seen: list[Any] = []
    thread = Thread(target=lambda *given, **named: seen.append((ctx.user, given, named)), args=(1,), kwargs={"key": 2},
                    contexts=[ctx])  # fmt: skip
    with ctx.scope(user="ann"):
        thread.start()
        join_thread(thread)
        assert ctx.user == "ann"
    assert seen == [("ann", (1,), {"key": 2})]


def test_the_default_context_needs_not_be_named() -> None:
    seen: list[Any] = []
    with tlctx.ctx.scope(user="ann"):
        threads = [
            Thread(target=lambda: seen.append(tlctx.ctx.user)), Timer(AT_ONCE, lambda: seen.append(tlctx.ctx.user)),
        ]  # fmt: skip
        for thread in threads:
            thread.start()
            join_thread(thread)
    assert seen == ["ann", "ann"]


def test_a_thread_is_what_its_arguments_make_it(ctx: Any) -> None:
    thread = Thread(None, print, "mail", (), {}, daemon=True, contexts=[ctx])
    assert isinstance(thread, threading.Thread)
    assert (thread.name, thread.daemon) == ("mail", True)
    with pytest.raises(TypeError, match=r"contexts=\[ctx\]"):
        Thread(contexts=ctx)


def test_the_run_of_a_subclass_is_in_the_scope(ctx: Any) -> None:
    seen: list[Any] = []

    class Mail(Thread):
        def run(self) -> None:
            seen.append((ctx.user, str(Scope.current(ctx)), "run" in vars(self)))
            super().run()

    thread = Mail(target=lambda: seen.append(ctx.user), contexts=[ctx])
    with ctx.scope(user="ann") as scope:
        thread.start()
        join_thread(thread)
    (user, name, replaced), target_saw = seen
    assert (user, replaced, target_saw) == ("ann", False, "ann")
    assert name.endswith(f" of {scope}")


def test_a_subclass_that_passes_nothing_on_has_the_default_context() -> None:
    seen: list[Any] = []

    class Own(Thread):
        def __init__(self) -> None:
            threading.Thread.__init__(self)

        def run(self) -> None:
            seen.append(tlctx.ctx.get("user", None))

    with tlctx.ctx.scope(user="ann"):
        thread = Own()
        thread.start()
        join_thread(thread)
    assert seen == ["ann"]


def test_a_run_that_somebody_assigned_or_wraps_is_in_the_scope(ctx: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    start = threading.Thread.start

    def tracing_start(thread: Any) -> None:  # as Sentry's integration has it
        function = getattr(thread.run, "__func__", thread.run)

        def run() -> None:
            seen.append("traced")
            function(thread)

        thread.run = run
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", tracing_start)
    thread: Any = Thread(contexts=[ctx])

    def own() -> None:
        seen.append(ctx.user)

    thread.run = own
    with ctx.scope(user="ann"):
        thread.start()
        join_thread(thread)
    assert seen == ["traced", "ann"]
    assert thread.run is own


def test_where_no_request_runs_it_is_a_plain_thread(ctx: Any) -> None:
    seen: list[Any] = []

    def look() -> None:
        seen.append(ctx.get("user", None))

    for thread in (Thread(target=look, contexts=[ctx]), Timer(AT_ONCE, look, contexts=[ctx])):
        thread.start()
        join_thread(thread)
    assert seen == [None, None]


def test_code_that_its_request_has_left_behind_starts_none(ctx: Any) -> None:
    with ctx.scope():
        kept = vars(ctx)
    tlctx._core.implementation.swap_dict(ctx, kept)  # as a thread that was not told has it
    try:
        for thread in (Thread(contexts=[ctx]), Timer(AT_ONCE, print, contexts=[ctx])):
            with pytest.raises(RequestEndedError):
                thread.start()
            assert not thread.is_alive()
    finally:
        tlctx._core.implementation.swap_dict(ctx, None)


def test_what_the_function_or_the_teardown_raises_goes_to_the_hook(ctx: Any, uncaught: list[Any]) -> None:
    def fail() -> None:
        raise KeyError

    with ctx.scope():
        for function, args in ((fail, ()), (ctx.callback, (int, "no number"))):
            thread = Thread(target=function, args=args, contexts=[ctx])
            timer = Timer(AT_ONCE, function, args, contexts=[ctx])
            for started in (thread, timer):
                started.start()
                join_thread(started)
    assert [type(error) for error in uncaught] == [KeyError, KeyError, ValueError, ValueError]


def test_a_thread_is_started_once(ctx: Any) -> None:
    started, release = threading.Event(), threading.Event()
    seen: list[Any] = []

    def job() -> None:
        started.set()
        release.wait(PATIENCE)
        seen.append(ctx.user)

    thread = Thread(target=job, contexts=[ctx])
    with ctx.scope(user="ann"):
        thread.start()
        assert started.wait(PATIENCE)
        with pytest.raises(RuntimeError, match="only be started once"):
            thread.start()
        assert "run" not in vars(thread)
        release.set()
        join_thread(thread)
        with pytest.raises(RuntimeError, match="only be started once"):
            thread.start()
    assert seen == ["ann"]


@pytest.mark.parametrize("kind", [Thread, Timer])
def test_a_thread_that_cannot_be_started_keeps_nothing_and_may_be_started_later(
    ctx: Any, kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    def no_thread(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("can't start new thread")

    def job() -> None:
        seen.append(ctx.user)

    thread = kind(target=job, contexts=[ctx]) if kind is Thread else kind(AT_ONCE, job, contexts=[ctx])
    name = "_start_joinable_thread" if hasattr(threading, "_start_joinable_thread") else "_start_new_thread"
    with ctx.scope(user=Value()), monkeypatch.context() as patched:
        value = weakref.ref(ctx.user)
        patched.setattr(threading, name, no_thread)
        with pytest.raises(RuntimeError, match="can't start"):
            thread.start()
    assert "run" not in vars(thread)
    gc.collect()
    assert value() is None
    with ctx.scope(user="ann"):
        thread.start()
        join_thread(thread)
    assert seen == ["ann"]


def test_a_thread_that_is_over_keeps_nothing(ctx: Any) -> None:
    threads = [Thread(target=len, args=("x",), contexts=[ctx]), Timer(AT_ONCE, len, ("x",), contexts=[ctx])]
    with ctx.scope(user=Value()):
        value = weakref.ref(ctx.user)
        for thread in threads:
            thread.start()
            join_thread(thread)
    assert value() is None


@pytest.mark.skipif(sys.version_info < (3, 14), reason="new in Python 3.14")
def test_a_context_that_newer_pythons_take_is_handed_over(ctx: Any) -> None:
    import contextvars

    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    context = contextvars.Context()
    context.run(variable.set, "there")
    seen: list[Any] = []
    thread = Thread(target=lambda: seen.append((ctx.user, variable.get())), context=context, contexts=[ctx])
    with ctx.scope(user="ann"):
        thread.start()
        join_thread(thread)
    assert seen == [("ann", "there")]
