"""Scope: what unbinding leaves on a thread, when it raises, and what goes with a scope."""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from collections import defaultdict
from typing import Any

import pytest
from support.helpers import Boom, Payload, Timeout, in_thread, raise_boom, run_program
from support.requests import REQUEST, ctx

import tlctx
from tlctx import Scope
from tlctx._core.implementation import peek_dict, swap_dict


def test_a_thread_that_was_taken_away_from_a_scope_is_found_again_at_the_next_bind() -> None:
    scope = ctx.scope()
    if tlctx.IMPLEMENTATION == "c":
        del scope.thread
    scope.unbind(scope.bind())
    assert scope.thread == threading.get_ident()
    scope.close()


def test_describing_a_request_adds_nothing_to_its_environ() -> None:
    environ: Any = defaultdict(str)
    assert str(Scope(ctx, environ, ("REQUEST_METHOD", "PATH_INFO"))).startswith("scope #")
    assert environ == {}


def test_nothing_keeps_a_scope_that_was_unbound_and_dropped_although_another_thread_looked_meanwhile() -> None:
    def bind_and_drop() -> list[Any]:
        scope = ctx.scope()
        displaced = scope.bind()
        ctx.value = Payload()
        dropped = [weakref.ref(scope), weakref.ref(ctx.value)]
        in_thread(lambda: getattr(ctx, "value", None))
        scope.unbind(displaced)
        return dropped

    dropped = bind_and_drop()
    gc.collect()
    assert [each() for each in dropped] == [None, None]


def test_nothing_keeps_an_inner_scope_either() -> None:
    with ctx.scope():

        def bind_and_drop() -> Any:
            inner = ctx.scope()
            displaced = inner.bind()
            in_thread(lambda: getattr(ctx, "value", None))
            inner.unbind(displaced)
            return weakref.ref(inner)

        dropped = bind_and_drop()
        gc.collect()
        assert dropped() is None


def test_a_finalizer_that_binds_a_scope_when_the_interpreter_has_lost_its_modules_does_no_harm() -> None:
    program = """
        import codecs, tlctx

        class Late:
            def __init__(self):
                self.scope = tlctx.ctx.scope()

            def __del__(self):
                try:
                    self.scope.unbind(self.scope.bind())
                except BaseException:
                    pass

        def search(name, late=Late()):
            return None

        codecs.register(search)  # the interpreter lets go of these last of all
        del search, Late
    """
    assert run_program(program) == ""


def test_what_unbinding_raises_has_the_apps_error_as_its_context() -> None:
    """A timeout that arrives where another thread was here, and this one has to be found anew."""

    def fail(error: BaseException, scope: Scope) -> None:
        in_thread(lambda: peek_dict(ctx))
        sys.settrace(time_out)

    def time_out(frame: Any, event: str, argument: Any) -> Any:
        if frame.f_code.co_name in ("current_record", "unbind"):
            sys.settrace(tracer)
            raise Timeout

    tracer = sys.gettrace()  # that of coverage, if it is measured
    scope = Scope(ctx)
    try:
        with pytest.raises(Timeout) as raised:
            scope.call(None, fail, None, raise_boom)
    finally:
        sys.settrace(tracer)  # the interpreter lets go of a tracer that raises
    assert isinstance(raised.value.__context__, Boom)
    swap_dict(ctx, None)
    scope.close()


def test_what_goes_with_a_scope_finds_it_over() -> None:
    seen: list[Any] = []

    class AtTheEnd:
        def __del__(self) -> None:
            seen.append((getattr(ctx, "user", "over"), scope.source))

    for kept in ("the error", "the environ"):
        environ = {**REQUEST, "x": AtTheEnd()} if kept == "the environ" else dict(REQUEST)
        scope = Scope(ctx, environ)
        del environ
        displaced = scope.bind()
        ctx.user = "ann"
        error = Boom(AtTheEnd() if kept == "the error" else None)
        scope.fail(error)
        del error
        scope.close_if_idle()
        scope.unbind(displaced)
    assert seen == [("over", None)] * 2
