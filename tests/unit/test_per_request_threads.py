"""per_request where threads share a scope: a value is made once a request, whoever needs it first."""

from __future__ import annotations

import contextvars
import functools
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from support.helpers import PATIENCE, Boom
from support.threads import start_threads

from tlctx import RequestContext, Scope, per_request
from tlctx._core import making
from tlctx.lowlevel import propagate


class Gate:
    """Lets a maker wait until the test says so."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.go = threading.Event()

    def wait(self) -> None:
        self.entered.set()
        assert self.go.wait(PATIENCE)


class Ctx(RequestContext):
    @per_request
    def db(self) -> Iterator[object]:
        gate.wait()
        value = object()
        made.append(value)
        yield value
        made.append("closed")

    @per_request
    def fails_once(self) -> str:
        made.append("tried")
        if len(made) == 1:
            gate.wait()
            raise Boom
        return "made"

    @per_request
    def needs_itself(self) -> Any:
        return self.needs_itself

    @per_request
    def first(self) -> Any:
        meet_once("first")
        return self.second

    @per_request
    def second(self) -> Any:
        meet_once("second")
        return self.first

    @per_request
    def quick(self) -> str:
        return "quick"


ctx = Ctx()
made: list[Any] = []
gate = Gate()
meet = threading.Barrier(2)


def meet_once(name: str) -> None:
    """Wait until both values are being made; a maker that is tried again goes on."""
    if name not in made:
        made.append(name)
        meet.wait(PATIENCE)


@pytest.fixture(autouse=True)
def _nothing_is_being_made() -> Iterator[None]:
    yield
    assert not making._running
    assert not making._awaited


def new_scope() -> Scope:
    """A scope in which nothing was made yet. Not a fixture: the checks of memory repeat a test within its fixtures."""
    global gate, meet
    made.clear()
    gate, meet = Gate(), threading.Barrier(2)
    return Scope(ctx)


def shared(scope: Scope, names: list[str]) -> tuple[list[threading.Thread], list[Any]]:
    """Threads that share `scope`, each of which reads one name, and what they find."""
    found: list[Any] = []

    def read(name: str) -> None:
        try:
            found.append(getattr(ctx, name))
        except BaseException as error:
            found.append(error)

    with propagate(scope):
        contexts = [contextvars.copy_context() for _ in names]
    jobs = (functools.partial(context.run, read, name) for context, name in zip(contexts, names, strict=True))
    return start_threads(jobs), found


def join(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive(), "a thread hangs"


def test_threads_that_need_a_value_at_once_share_one() -> None:
    scope = new_scope()
    threads, found = shared(scope, ["db"] * 4)
    assert gate.entered.wait(PATIENCE)
    gate.go.set()
    join(threads)
    assert len(found) == 4
    assert len(made) == 1
    assert all(value is made[0] for value in found)
    scope.close()
    assert made[1:] == ["closed"]


def test_a_thread_that_needs_another_value_does_not_wait() -> None:
    scope = new_scope()
    threads, _ = shared(scope, ["db"])
    assert gate.entered.wait(PATIENCE)
    others, found = shared(scope, ["quick"])
    join(others)
    assert found == ["quick"]
    gate.go.set()
    join(threads)
    scope.close()


def test_if_its_maker_raises_the_next_one_tries() -> None:
    scope = new_scope()
    threads, found = shared(scope, ["fails_once"])
    assert gate.entered.wait(PATIENCE)
    others, more = shared(scope, ["fails_once"] * 2)
    gate.go.set()
    join(threads + others)
    assert [type(error) for error in found] == [Boom]
    assert more == ["made", "made"]
    assert made == ["tried", "tried"]
    scope.close()


def test_a_value_that_needs_itself_is_an_error() -> None:
    with (
        ctx.scope(),
        pytest.raises(RuntimeError, match="'needs_itself' can't be made: its method needs that very value"),
    ):
        ctx.needs_itself  # noqa: B018


def test_two_values_that_need_each_other_on_two_threads_are_an_error_and_no_deadlock() -> None:
    scope = new_scope()
    threads, found = shared(scope, ["first", "second"])
    join(threads)
    assert len(found) == 2
    assert all(isinstance(error, RuntimeError) and "can't be made" in str(error) for error in found)
    scope.close()


def test_requests_make_values_of_their_own_at_the_same_time() -> None:
    scopes = [new_scope(), Scope(ctx)]
    threads, found = [], []
    for scope in scopes:
        started, values = shared(scope, ["db"])
        threads += started
        found.append(values)
    gate.go.set()
    join(threads)
    assert found[0] != found[1]
    for scope in scopes:
        scope.close()


def test_no_lock_is_held_while_one_is_made() -> None:
    together = threading.Barrier(2)

    class Mine(RequestContext):
        @per_request
        def slow(self) -> int:
            return together.wait(30)

    mine = Mine()

    def serve() -> int:
        with mine.scope():
            return mine.slow

    other: list[int] = []
    thread = threading.Thread(target=lambda: other.append(serve()))
    thread.start()
    assert sorted([serve(), *(thread.join() or other)]) == [0, 1]  # type: ignore[func-returns-value]
