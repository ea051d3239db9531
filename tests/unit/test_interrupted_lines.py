"""Exceptions from outside that strike at any line of tlctx's code: nothing stays bound, each teardown runs once."""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any
from weakref import ref

import pytest
from support.helpers import Boom
from support.strikes import LineInjector, strikes_at_each_line

import tlctx
from tlctx import ContextMiddleware, RequestContext, Scope
from tlctx._core.attached import attached_scopes
from tlctx._core.implementation import peek_dict, swap_dict
from tlctx.lowlevel import bound


class Ctx(RequestContext):
    """It has no values, so all its namespaces equal each other, and what has ended."""


ctx = Ctx()
LEFT_TO_THE_NEXT = {"Block.__exit__", "bound.__exit__"}
"""Where Python itself leaves nothing to be done, in the pure-Python implementation: the thread's next scope does it."""


class Run:
    """What became of one run: its scopes, and with what error each part of their teardowns was closed."""

    def __init__(self) -> None:
        self.scopes: list[ref[Scope]] = []
        self.opened: list[str] = []
        self.closed: list[tuple[str, str]] = []
        self.failed = False  # whether the application has raised

    def open(self, name: str, body: Any = None) -> Any:
        """Add a part to the teardown of the current scope, and return `body`."""
        scope = Scope.current(ctx)
        assert scope is not None
        self.scopes.append(ref(scope))
        scope.enter_context(Part(self, name))
        return body

    def fail(self) -> None:
        self.failed = True
        raise Boom


class Part:
    def __init__(self, run: Run, name: str) -> None:
        self.run = run
        self.name = name

    def __enter__(self) -> None:
        self.run.opened.append(self.name)

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        self.run.closed.append((self.name, type(error).__name__))


def serve(app: Callable[..., Any]) -> None:
    """One request, as a server runs it."""
    body = ContextMiddleware(app, ctx)({"REQUEST_METHOD": "GET", "PATH_INFO": "/"}, lambda *_: lambda data: None)
    try:
        for _ in body:
            pass
    finally:
        if hasattr(body, "close"):
            body.close()


def an_idle_list(run: Run) -> None:
    serve(lambda environ, start_response: [b"x"])


def a_list(run: Run) -> None:
    serve(lambda environ, start_response: run.open("part", [b"x"]))


def a_failing_call(run: Run) -> None:
    def app(environ: Any, start_response: Any) -> None:
        run.open("part")
        run.fail()

    serve(app)


def an_idle_stream(run: Run) -> None:
    serve(lambda environ, start_response: iter([b"x"]))


def a_stream(run: Run) -> None:
    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        run.open("part")
        yield b"x"

    serve(app)


def a_failing_stream(run: Run) -> None:
    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        run.open("part")
        yield b"x"
        run.fail()

    serve(app)


class Body:
    """A body that makes an iterator of its own."""

    def __init__(self, close: Callable[[], None]) -> None:
        self.close = close

    def __iter__(self) -> Iterator[bytes]:
        return iter([b"x"])


def a_body(run: Run) -> None:
    serve(lambda environ, start_response: run.open("part", Body(lambda: None)))


def a_body_that_fails_to_close(run: Run) -> None:
    serve(lambda environ, start_response: run.open("part", Body(run.fail)))


def a_dropped_stream(run: Run) -> None:
    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        run.open("part")
        yield b"x"

    next(iter(ContextMiddleware(app, ctx)({"REQUEST_METHOD": "GET", "PATH_INFO": "/"}, lambda *_: lambda data: None)))


def a_block(run: Run) -> None:
    with ctx.scope():
        run.open("part")


def a_failing_block(run: Run) -> None:
    with ctx.scope():
        run.open("part")
        run.fail()


def a_bound_scope(run: Run) -> None:
    scope = Scope(ctx)
    try:
        with bound(scope):
            run.open("part")
        scope.run(int)
    finally:
        scope.close()


PIECES = (
    an_idle_list, a_list, a_failing_call, an_idle_stream, a_stream, a_failing_stream, a_body,
    a_body_that_fails_to_close, a_dropped_stream, a_block, a_failing_block, a_bound_scope,
)  # fmt: skip


def faults_of(run: Run, below: Any) -> list[str]:
    """What is wrong after it."""
    found = []
    if peek_dict(ctx) is not below:
        found.append(f"the thread has {peek_dict(ctx)!r}")
    if attached_scopes.get():
        found.append("a scope is attached")
    found += [f"open: {scope}" for each in run.scopes if (scope := each()) is not None and not scope.ended]
    if sorted(name for name, _ in run.closed) != sorted(run.opened):
        found.append(f"closed: {run.closed}, not {run.opened}")
    if run.failed and any(error == "NoneType" for _, error in run.closed):
        found.append(f"closed without the error: {run.closed}")
    return found


def strike(piece: Callable[[Run], None], below: Any = None) -> dict[str, list[str]]:
    """What is wrong after `piece` was struck, by where that was; it has been struck at some lines at least."""
    found = {}
    run = Run()

    def work(injector: LineInjector) -> None:
        nonlocal run
        run = Run()
        with suppress(Boom), injector.active():
            piece(run)

    struck = 0
    for injector in strikes_at_each_line(work):
        assert injector.struck is not None
        struck += 1
        left = faults_of(run, below)
        if left and injector.struck.function in LEFT_TO_THE_NEXT:
            with ctx.scope():
                pass
            gc.collect()
            left = faults_of(run, below)
        if left:
            found[str(injector.struck)] = left
        swap_dict(ctx, below)
        attached_scopes.set(())
    assert struck or tlctx.IMPLEMENTATION == "c"  # where nothing may be left of it in Python
    return found


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: None)  # finalizers are struck too
    monkeypatch.setattr(logging.getLogger("tlctx"), "disabled", True)


@pytest.mark.parametrize("piece", PIECES)
def test_a_piece_of_work_that_is_struck_leaves_nothing(piece: Callable[[Run], None]) -> None:
    assert strike(piece) == {}


@pytest.mark.parametrize("piece", [a_failing_call, a_stream])
def test_a_piece_of_work_in_another_scope_that_is_struck_leaves_that_one_bound(piece: Callable[[Run], None]) -> None:
    with ctx.scope() as outer:
        assert strike(piece, outer.namespace) == {}


@pytest.mark.parametrize("piece", [a_failing_call, a_stream, a_bound_scope])
def test_a_piece_of_work_in_a_greenlet_that_is_struck_leaves_nothing_attached(piece: Callable[[Run], None]) -> None:
    greenlet = pytest.importorskip("greenlet", reason="needs the package greenlet")
    assert greenlet.greenlet(strike).switch(piece) == {}
