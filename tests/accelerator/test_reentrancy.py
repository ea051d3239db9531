"""Code that runs in the middle of an operation of the accelerator: finalizers, callbacks, and the collector."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
from accelerator.built import _accelerator
from support.helpers import run_program


def test_a_value_that_drops_the_last_reference_to_its_local_when_it_is_replaced_does_no_harm() -> None:
    class Last:
        def __del__(self) -> None:
            holder.clear()

    holder: list[Any] = [_accelerator.local()]
    gone = weakref.ref(holder[0])
    holder[0].x = Last()
    holder[0].x = None
    gc.collect()
    assert gone() is None


def test_a_cache_entry_that_goes_while_it_is_written_to_the_map_does_no_harm() -> None:
    """Up to CPython 3.11 an allocation may collect, and what the collector runs may end the thread of the entry."""
    survived = run_program(
        """
        import gc, threading, tlctx
        from tlctx._core.implementation import peek_dict

        ctx, kept, now = tlctx.AnyContext(), [], {}

        def end_the_other(phase, info):
            if phase == "start" and now.pop("armed", False):
                now["go"].set()
                now["thread"].join()

        def request(bound, go):
            with ctx.scope(user=1):
                bound.set()
                go.wait()

        gc.disable()
        gc.collect()
        gc.callbacks.append(end_the_other)
        with ctx.scope(user=0):
            for allocations in range(12):
                bound, go = threading.Event(), threading.Event()
                thread = threading.Thread(target=request, args=(bound, go))
                thread.start()
                bound.wait()
                kept += [(number, allocations) for number in range(3000)]  # no tuple is left that could be used again
                now.update(go=go, thread=thread, armed=True)
                gc.set_threshold(gc.get_count()[0] + allocations)
                gc.enable()
                peek_dict(ctx)
                gc.disable()
                now.pop("armed", None)
                go.set()
                thread.join()
        gc.callbacks.clear()
        print("survived")
        """,
        TLCTX_PURE_PYTHON="",
    )
    assert survived == "survived\n"


@pytest.mark.parametrize("how", ["a weak reference's callback", "a finalizer"])
def test_a_value_that_goes_while_another_object_writes_to_the_dict_is_not_found_again(how: str) -> None:
    seen = run_program(
        """
        import sys, weakref
        from tlctx._core._accelerator import local

        class Shares: pass

        def store(owner, value):
            owner.x = value

        def at_the_end(_):
            sharing.__dict__ = {}
            seen.append(mine.x)

        class Value: pass
        class Finalized(Value):
            __del__ = at_the_end

        mine, sharing, seen = local(), Shares(), []
        warm = Shares()
        warm.__dict__ = {"x": 0}
        for number in range(200):
            store(warm, number)
        value = mine.x = Finalized() if sys.argv[1] == "a finalizer" else Value()
        for _ in range(3):
            mine.x
        watch = weakref.ref(value, at_the_end) if sys.argv[1] != "a finalizer" else None
        sharing.__dict__ = vars(mine)
        del value
        store(sharing, "new")
        print(seen)
        """,
        how,
    )
    assert seen == "['new']\n"


def test_a_body_that_drops_its_iterable_while_it_looks_up_the_close_of_that_does_no_harm() -> None:
    asked = run_program(
        """
        import tlctx
        from tlctx._core._accelerator import ScopedIterator
        from tlctx import Scope

        class Quiet(ScopedIterator):
            def _on_close(self): self._scope.close()
            def _on_step_error(self, error): pass
            def _on_close_error(self, error): pass
            def _on_drop(self): pass

        class Iterable:
            def __iter__(self): return iter(())
            @property
            def close(self):
                steps._iterable = ()
                raise AttributeError("close")
            def __getattr__(self, name):
                return lambda: print(name, "of", type(self).__name__)

        steps = Quiet(Iterable(), Scope(tlctx.ctx))
        steps.close()
        """,
        PYTHONMALLOC="debug",
        TLCTX_PURE_PYTHON="",  # its scopes are those of the C accelerator
    )
    assert asked == "close of Iterable\n"


def test_a_scope_that_ends_while_another_is_attached_does_no_harm() -> None:
    """Up to CPython 3.11 an allocation may collect, and what the collector runs may end a scope that is attached."""
    survived = run_program(
        """
        import gc, tlctx
        from tlctx._core.attached import attached_scopes
        from tlctx._core.propagation import attach, detach
        from tlctx.lowlevel import Scope

        kept, now = [], {}

        def end_some(phase, info):
            if phase == "start" and now.pop("armed", False):
                for scope in now["ending"]:
                    scope.close()

        gc.disable()
        gc.collect()
        gc.callbacks.append(end_some)
        for allocations in range(8):
            scopes = [Scope(tlctx.ctx) for _ in range(30)]  # no tuple of that size is used again
            for scope in scopes[:-1]:
                attach(scope)
            kept += [(number, allocations) for number in range(3000)]  # as above
            now.update(ending=scopes[1:3], armed=True)
            gc.set_threshold(gc.get_count()[0] + allocations)
            gc.enable()
            attach(scopes[-1])
            gc.disable()
            now.pop("armed", None)
            for scope in scopes[1:3]:
                scope.close()
            detach(scopes[0])
            assert [pair[0] for pair in attached_scopes.get()] == scopes[:2:-1], allocations
            for scope in scopes:
                scope.close()
            detach(scopes[0])
            assert attached_scopes.get() == ()
        gc.callbacks.clear()
        print("survived")
        """,
        TLCTX_PURE_PYTHON="",
    )
    assert survived == "survived\n"


@pytest.mark.parametrize("odd", ["None", "[]", "(5,)", "((), ())", "((1, 2),)", "((scope, None, None), (scope,))"])
def test_what_is_no_tuple_of_scopes_in_the_context_variable_is_refused_or_left_out(odd: str) -> None:
    survived = run_program(
        f"""
        import tlctx
        from tlctx._core.attached import attached_scopes
        from tlctx._core.implementation import attach, detach
        from tlctx.lowlevel import Scope

        scope = Scope(tlctx.ctx)
        for use in (lambda: tlctx.ctx.user, lambda: setattr(tlctx.ctx, "user", 1), lambda: attach(scope),
                    lambda: detach(scope)):
            attached_scopes.set({odd})
            try:
                use()
            except (AttributeError, TypeError, ValueError):
                pass
        print("survived")
        """,
        PYTHONMALLOC="debug",
        TLCTX_PURE_PYTHON="",
    )
    assert survived == "survived\n"
