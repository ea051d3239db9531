"""Where code of a request stands on a thread, or that it stands nowhere."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from support.contexts import UserCtx
from support.helpers import in_foreign_thread, in_thread
from support.requests import answer, ctx
from support.stacks import Stuck, functions, hanging, is_nowhere, lines

from tlctx import Scope
from tlctx._core.threads import storage
from tlctx.lowlevel import bound, is_running, stack_of


def test_a_scope_that_is_bound_stands_where_its_thread_does() -> None:
    scope = Scope(ctx)
    assert is_nowhere(scope)
    with hanging(lambda stuck: scope.run(stuck.hang)):
        assert is_running(scope)
        assert functions(scope)[-1:] == ["hang"]
        assert "assert self.go.wait(PATIENCE)  # it hangs here" in lines(scope)
    assert is_nowhere(scope)
    scope.close()
    assert is_nowhere(scope)


def test_the_outermost_call_comes_first_and_no_call_of_the_one_who_asks_is_among_them() -> None:
    with ctx.scope() as scope:
        found = [frame.name for frame in stack_of(scope)]
    assert found[-1] == "test_the_outermost_call_comes_first_and_no_call_of_the_one_who_asks_is_among_them"
    assert len(found) > 3


def test_it_shows_no_values() -> None:
    with ctx.scope() as scope:
        password = "s3cret"
        assert password
        assert all(frame.locals is None for frame in stack_of(scope))


def test_a_thread_that_threading_did_not_start_is_found_too() -> None:
    scope = Scope(ctx)
    assert in_foreign_thread(lambda: scope.run(lambda: (is_running(scope), functions(scope)[0]))) == (True, "run")
    assert is_nowhere(scope)


def test_a_thread_is_found_also_after_threading_local_was_another_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    class Other(threading.local):
        """As a library has it that patches."""

    def run() -> bool:
        assert ctx.get("user", None) is None
        with monkeypatch.context() as patch:
            patch.setattr(threading, "local", Other)
            with ctx.scope():
                pass
            instance = storage._instances.pop(Other)
        del instance
        with ctx.scope() as scope:
            assert "run" in functions(scope)
            return is_running(scope)

    assert in_thread(run)


def test_scopes_on_one_thread_all_stand_there() -> None:
    scopes = [Scope(ctx) for _ in range(4)]

    def nest(stuck: Stuck) -> None:
        with scopes[0], bound(scopes[1]):
            scopes[2].run(with_inner, stuck)

    def with_inner(stuck: Stuck) -> None:
        with bound(scopes[2]), scopes[3]:
            stuck.hang()

    with hanging(nest):
        for scope in scopes:
            assert is_running(scope), scope
            assert functions(scope)[-3:] == ["nest", "with_inner", "hang"], scope
    for scope in scopes[1:3]:
        assert is_nowhere(scope)
        scope.close()


def test_a_scope_that_an_inner_one_displaced_for_a_while_is_nowhere_when_it_is_unbound() -> None:
    outer, inner = Scope(ctx), Scope(ctx)
    with bound(outer), bound(inner):
        assert is_running(outer)
    with bound(inner):
        assert is_running(inner)
        assert is_nowhere(outer)
    outer.close()
    inner.close()


def test_scopes_of_other_contexts_do_not_count() -> None:
    other = UserCtx()
    outer, inner = Scope(ctx), Scope(other)
    with bound(outer), bound(inner):
        assert is_running(outer)
        assert is_running(inner)
        assert in_thread(lambda: is_running(inner))
    with bound(outer):
        assert is_nowhere(inner)
    outer.close()
    inner.close()


def test_between_two_chunks_a_stream_stands_nowhere() -> None:
    scopes: list[Any] = []

    def stream() -> Iterator[bytes]:
        scopes.append(Scope.current(ctx))
        with ctx.scope() as inner:
            scopes.append(inner)
            yield b"one"
            assert is_running(scopes[0])
            assert is_running(inner)
            yield b"two"

    body = answer(lambda environ, start_response: stream())
    iterator = iter(body)
    for _ in range(2):
        next(iterator)
        assert all(map(is_nowhere, scopes))
    body.close()


def test_a_thread_that_serves_the_next_request_is_not_the_last_ones_any_more() -> None:
    first = Scope(ctx)

    def serve_both(stuck: Stuck) -> None:
        first.run(int)
        with ctx.scope():
            stuck.hang()

    with hanging(serve_both):
        assert is_nowhere(first)
    first.close()


def test_nor_is_a_thread_that_got_the_id_of_one_that_ended() -> None:
    scope = Scope(ctx)
    in_thread(lambda: scope.run(int))
    assert is_nowhere(scope)
    with hanging(lambda stuck: stuck.hang()):
        assert is_nowhere(scope)
    scope.close()


@pytest.mark.parametrize("ends", [True, False])
def test_an_ended_scope_runs_nowhere_also_while_its_code_still_does(ends: bool) -> None:
    scope = Scope(ctx)
    with bound(scope):
        if ends:
            scope.close()
        assert is_running(scope) is not ends
        assert bool(stack_of(scope)) is not ends
    scope.close()
