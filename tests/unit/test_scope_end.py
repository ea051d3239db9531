"""Scope: how it ends when entering it fails or threads come too late, and what is left afterwards."""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from typing import Any

import pytest
from support.contexts import UserCtx
from support.helpers import PATIENCE, Boom, Payload, in_thread

from tlctx import RequestContext, RequestEndedError, Scope
from tlctx._core import teardown


def test_many_threads_that_close_at_once_run_the_teardown_once(ctx: UserCtx) -> None:
    for _ in range(20):
        scope, together = Scope(ctx), threading.Barrier(4)
        runs: list[int] = []

        def close(scope: Scope = scope, together: threading.Barrier = together) -> None:
            together.wait(PATIENCE)
            scope.close()

        scope.callback(runs.append, 1)
        threads = [threading.Thread(target=close) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        assert runs == [1]


@pytest.mark.parametrize("values", [{"user": "ann", "scope": 1}, {5: "x"}], ids=["a method's name", "no string"])
def test_first_values_that_cannot_be_assigned_close_the_scope(ctx: UserCtx, values: Any) -> None:
    scope = Scope(ctx, values=values)
    with pytest.raises((AttributeError, TypeError)):
        scope.__enter__()
    assert scope.ended
    assert ctx._local__impl.dicts == {}


def test_an_init_that_raises_closes_the_scope_after_what_it_opened() -> None:
    log: list[str] = []

    class Mine(RequestContext):
        def __init__(self) -> None:
            self.callback(log.append, "closed")
            raise Boom

    mine = Mine()
    with pytest.raises(Boom), mine.scope():
        pass
    assert log == ["closed"]
    assert Scope.current(mine) is None


def test_what_another_thread_enters_while_the_scope_ends_is_left_at_once(ctx: UserCtx) -> None:
    entering, ended = threading.Event(), threading.Event()
    log: list[str] = []

    class Slow:
        def __enter__(self) -> str:
            entering.set()
            assert ended.wait(PATIENCE)
            log.append("entered")
            return "connection"

        def __exit__(self, *exc: object) -> None:
            log.append("left")

    def enter() -> None:
        with pytest.raises(RequestEndedError, match="entering a context manager"):
            scope.enter_context(Slow())

    scope = Scope(ctx)
    thread = threading.Thread(target=enter)
    thread.start()
    assert entering.wait(PATIENCE)
    scope.close()
    ended.set()
    thread.join(PATIENCE)
    assert log == ["entered", "left"]


def test_no_callback_is_lost_when_threads_add_the_first_ones_at_once(ctx: UserCtx) -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(300):
            scope, together, runs = Scope(ctx), threading.Barrier(2), list[int]()

            def add(scope: Scope = scope, together: threading.Barrier = together, runs: list[int] = runs) -> None:
                together.wait(PATIENCE)
                scope.callback(runs.append, 1)

            threads = [threading.Thread(target=add) for _ in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(PATIENCE)
            scope.close()
            assert runs == [1, 1]
    finally:
        sys.setswitchinterval(interval)


def test_a_values_finalizer_cannot_open_anything_in_a_scope_that_ends(ctx: UserCtx) -> None:
    refused: list[Any] = []

    class Opens:
        def __del__(self) -> None:
            try:
                scope.callback(refused.append, "never")
            except RequestEndedError:
                refused.append("refused")

    with ctx.scope() as scope:
        ctx.callback(id, 1)
        ctx.payload = Opens()  # type: ignore[attr-defined]
    assert refused == ["refused"]


def test_values_and_scope_are_freed_at_the_end_without_the_collector(ctx: UserCtx) -> None:
    class Payload:
        pass

    gc.disable()
    try:
        with ctx.scope() as scope:
            ctx.payload = Payload()  # type: ignore[attr-defined]
            ctx.callback(id, ctx.payload)  # type: ignore[attr-defined]
            references = [weakref.ref(ctx.payload), weakref.ref(scope)]  # type: ignore[attr-defined]
        del scope
        assert [reference() for reference in references] == [None, None]
    finally:
        gc.enable()


def test_a_values_finalizer_that_writes_at_the_end_leaves_nothing(ctx: UserCtx) -> None:
    refused: list[Any] = []

    class Writes:
        def __del__(self) -> None:
            try:
                ctx.user = "left behind"
            except RequestEndedError as error:
                refused.append(str(error))

    with ctx.scope() as scope:
        ctx.payload = Writes()  # type: ignore[attr-defined]
    assert len(refused) == 1
    assert f"scope #{scope.serial} has ended" in refused[0]


def test_the_first_values_are_not_kept_beyond_the_end(ctx: UserCtx) -> None:
    payload = Payload()
    gone = weakref.ref(payload)
    with ctx.scope(payload=payload) as scope:
        del payload
    assert scope.ended
    assert gone() is None


def test_what_is_added_after_the_last_part_of_the_teardown_runs_all_the_same(
    ctx: UserCtx, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread may add it just then."""
    log: list[str] = []
    run = teardown.run

    def run_and_add(parts: list[Any], error: BaseException | None) -> None:
        run(parts, error)
        if log == ["first"]:
            scope.callback(log.append, "late")

    with ctx.scope() as scope:
        ctx.callback(log.append, "first")
        monkeypatch.setattr(teardown, "run", run_and_add)
    assert log == ["first", "late"]


def test_a_callback_that_is_added_while_another_thread_ends_the_scope_runs_at_once(
    ctx: UserCtx, monkeypatch: pytest.MonkeyPatch
) -> None:
    log: list[str] = []
    part = teardown.Part

    def end_and_make(*args: Any) -> Any:
        in_thread(scope.close)
        return part(*args)

    scope = Scope(ctx)
    monkeypatch.setattr(teardown, "Part", end_and_make)
    with pytest.raises(RequestEndedError, match="adding a callback"):
        scope.callback(log.append, "late")
    assert log == ["late"]


def test_of_the_first_values_the_first_one_without_a_name_is_told(ctx: UserCtx) -> None:
    values: Any = {"user": "ann", 5: "x", 6: "y"}
    with pytest.raises(TypeError, match=r"must be a mapping from names, and 5 is no name$"):
        Scope(ctx, values=values).__enter__()
