"""What the compiled twin has to show beyond the suite of both: its cache, subinterpreters, and any wrong argument."""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from typing import Any

import pytest
from conftest import IMPLEMENTATIONS
from support.helpers import PATIENCE, in_thread, missing, run_program

import tlctx

if "c" not in IMPLEMENTATIONS:

    def test_the_compiled_twin_is_here() -> None:
        missing("the compiled twin")

    pytest.skip("the compiled twin is not built", allow_module_level=True)

from tlctx._core import _local_c


class Payload:
    pass


def entries_of(instance: Any) -> dict[int, Any]:
    return {key: values for key, (_, values) in instance._local__impl.dicts.items()}


def test_a_thread_that_takes_the_cache_over_leaves_the_other_ones_values_in_the_map() -> None:
    instance = _local_c.local()
    for number in range(20):
        instance.x = number
        assert in_thread(lambda: getattr(instance, "x", "nothing")) == "nothing"
        assert instance.x == number
        assert entries_of(instance) == {id(threading.current_thread()): {"x": number}}


def test_a_look_at_the_map_shows_what_bind_and_unbind_wrote_to_the_cache_alone() -> None:
    if tlctx.IMPLEMENTATION != "c":
        pytest.skip("contexts stand on the twin in Python here")
    ctx: Any = type(tlctx.ctx)()
    with ctx.scope() as scope:
        key = id(threading.current_thread())
        assert entries_of(ctx) == {key: scope.namespace}
        assert in_thread(lambda: entries_of(ctx)) == {key: scope.namespace}
        with ctx.scope() as inner:
            assert in_thread(lambda: entries_of(ctx)[key]) is inner.namespace
        assert entries_of(ctx)[key] is scope.namespace
    assert in_thread(lambda: entries_of(ctx)) == entries_of(ctx) == {}


def test_threads_that_take_turns_at_every_access_see_their_own() -> None:
    instance = _local_c.local()
    wrong: list[Any] = []
    turns = threading.Barrier(4)

    def take_turns(number: int) -> None:
        for step in range(200):
            turns.wait(PATIENCE)
            instance.x = number, step
            turns.wait(PATIENCE)
            if instance.x != (number, step):
                wrong.append((number, step, instance.x))

    threads = [threading.Thread(target=take_turns, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert not turns.broken
    assert wrong == []


def test_the_cache_frees_a_dead_threads_values_and_a_dead_local_frees_its_own() -> None:
    holder = [_local_c.local()]

    def store() -> Any:
        holder[0].value = Payload()
        assert holder[0].value
        return weakref.ref(holder[0].value)

    assert in_thread(store)() is None
    payload = store()
    assert holder[0].value is payload()
    holder.clear()
    assert payload() is None


def test_more_names_than_the_cache_has_places_are_told_apart() -> None:
    class Mine(_local_c.local):
        def __init__(self) -> None:
            for name in names[::2]:
                setattr(self, name, f"own {name}")

    names = [f"name_{number}" for number in range(100)]
    for name in names[1::2]:
        setattr(Mine, name, f"class {name}")
    mine = Mine()
    for _ in range(3):
        assert [getattr(mine, name) for name in names[::2]] == [f"own {name}" for name in names[::2]]
        assert [getattr(mine, name) for name in names[1::2]] == [f"class {name}" for name in names[1::2]]


def test_a_base_that_changes_and_a_class_that_is_exchanged_count_at_once() -> None:
    class Base(_local_c.local):
        pass

    class Mine(Base):
        pass

    class Other(Base):
        x = property(lambda _: "the other class's")

    mine: Any = Mine()
    mine.x = "own"
    assert [mine.x, mine.x] == ["own", "own"]
    Base.x = property(lambda _: "the base's")  # type: ignore[attr-defined]
    assert mine.x == "the base's"
    del Base.x  # type: ignore[attr-defined]
    assert mine.x == "own"
    mine.__class__ = Other
    assert mine.x == "the other class's"
    mine.__class__ = Mine
    assert mine.x == "own"


def test_a_name_of_a_kind_of_its_own_is_a_name() -> None:
    class Name(str):
        __slots__ = ()

    instance: Any = _local_c.local()
    setattr(instance, Name("x"), 1)
    assert (instance.x, getattr(instance, Name("x")), getattr(instance, Name("__dict__"))) == (1, 1, {"x": 1})
    for refused in (instance.__getattribute__, instance.__delattr__, lambda name: instance.__setattr__(name, 1)):
        with pytest.raises(TypeError, match="must be string"):
            refused(5)


def test_a_value_that_drops_the_last_reference_to_its_local_when_it_is_replaced_does_no_harm() -> None:
    class Last:
        def __del__(self) -> None:
            holder.clear()

    holder: list[Any] = [_local_c.local()]
    gone = weakref.ref(holder[0])
    holder[0].x = Last()
    holder[0].x = None
    gc.collect()
    assert gone() is None


def test_gevent_that_patches_while_a_scope_is_bound_leaves_it_to_its_greenlet() -> None:
    program = """
        import tlctx
        instance = tlctx.local()
        instance.x = "main"
        with tlctx.ctx.scope(user="main"):
            import gevent.monkey; gevent.monkey.patch_all()
            import gevent
            wrong = []

            def serve(number):
                if getattr(tlctx.ctx, "user", None) is not None or hasattr(instance, "x"):
                    wrong.append(number)
                with tlctx.ctx.scope(user=number):
                    instance.x = number
                    for _ in range(3):
                        gevent.sleep(0)
                        if (tlctx.ctx.user, instance.x) != (number, number):
                            wrong.append(number)

            gevent.joinall([gevent.spawn(serve, number) for number in range(100)])
            print(wrong, tlctx.ctx.user, instance.x)
        print(getattr(tlctx.ctx, "user", None), len(tlctx.ctx._local__impl.dicts))
    """
    assert run_program(program) == "[] main main\nNone 0\n"


def test_a_forked_child_has_nothing_of_a_thread_whose_scope_was_in_the_cache_alone() -> None:
    program = """
        import os, threading, warnings
        import tlctx
        from tlctx import ctx

        warnings.simplefilter("ignore", DeprecationWarning)  # of fork with threads, which is the point
        bound, release = threading.Event(), threading.Event()

        def serve():
            with ctx.scope(user="the other's"):
                bound.set()
                release.wait(60)

        other = threading.Thread(target=serve)
        other.start()
        bound.wait(60)
        child = os.fork()
        if child == 0:
            before = getattr(ctx, "user", None)
            with ctx.scope(user="mine"):
                print(before, ctx.user, len(ctx._local__impl.dicts), flush=True)
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        release.set()
        other.join()
        print(status, getattr(ctx, "user", None), len(ctx._local__impl.dicts))
    """
    assert run_program(program) == "None mine 1\n0 None 0\n"


INTERPRETERS = {
    (3, 11): ("_xxsubinterpreters", "isolated=False", None),
    (3, 12): ("_xxsubinterpreters", "isolated=False", "isolated=True"),
}
"""By the interpreter's version: the module, and how it makes one with the GIL of all, and one with a GIL of its own."""


@pytest.mark.parametrize("own_gil", [False, True], ids=["shared-gil", "own-gil"])
def test_it_works_in_subinterpreters_and_ends_with_them(*, own_gil: bool) -> None:
    module, shared, own = INTERPRETERS.get(sys.version_info[:2], ("_interpreters", "'legacy'", "'isolated'"))
    if own_gil and own is None:
        pytest.skip("interpreters share their GIL up to CPython 3.11")
    program = f"""
        import {module} as interpreters

        source = '''
        import threading, tlctx
        from tlctx import ContextMiddleware, ctx, local

        instance = local()
        instance.x = 1
        seen = []
        thread = threading.Thread(target=lambda: seen.append(getattr(instance, "x", None)))
        thread.start()
        thread.join()
        app = ContextMiddleware(lambda environ, start: [ctx.user], ctx, lambda environ: {{"user": b"ann"}})
        body = ContextMiddleware(lambda environ, start: (part for part in [b"x"]), ctx)({{}}, None)
        print(tlctx.IMPLEMENTATION, instance.x, seen, app({{}}, None), list(body), flush=True)
        body.close()
        '''
        for _ in range(3):
            inner = interpreters.create({own if own_gil else shared})
            failed = interpreters.run_string(inner, source.replace("\\n        ", "\\n"))
            interpreters.destroy(inner)
            if failed:
                print(failed)
    """
    assert run_program(program) == 3 * f"{tlctx.IMPLEMENTATION} 1 [None] [b'ann'] [b'x']\n"


WRONG: tuple[Any, ...] = (None, 5, "text", object(), [], {}, (), int, _local_c.local(), _local_c.local)


@pytest.mark.parametrize("name", sorted(set(dir(_local_c)) - {"__loader__", "__spec__", "__builtins__"}))
def test_wrong_arguments_are_errors_and_nothing_worse(name: str) -> None:
    subject = getattr(_local_c, name)
    if not callable(subject):
        return
    for arguments in [(), *[(one,) for one in WRONG], *[(one, other) for one in WRONG for other in WRONG]]:
        try:
            made = subject(*arguments)
        except Exception:
            continue
        for method in ("bind", "unbind", "finish", "run", "close", "_claim_end", "_empty", "__iter__", "__next__"):
            for given in [(), *[(one,) for one in WRONG], (None, None, None, None), (None, None, None, len)]:
                try:
                    getattr(made, method)(*given)
                except Exception:
                    continue


def test_an_object_whose_init_never_ran_refuses_its_use() -> None:
    gate: Any = _local_c.Gate.__new__(_local_c.Gate)
    with pytest.raises(AttributeError):
        gate({}, None)
    for kind in (_local_c.Binding, _local_c.Steps):
        with pytest.raises(TypeError):
            kind.__new__(kind)
    with pytest.raises(TypeError):
        type(_local_c.local()._local__impl)()


# What runs in the middle of a step


def test_a_slot_that_goes_while_the_map_is_told_of_it_does_no_harm() -> None:
    """Up to CPython 3.11 an allocation may collect, and what the collector runs may end the thread of the slot."""
    survived = run_program(
        """
        import gc, threading, tlctx
        from tlctx._core.local import peek_dict

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
        from tlctx._core._local_c import local

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


def test_a_body_that_lets_go_of_its_iterable_while_that_is_asked_for_its_close_does_no_harm() -> None:
    asked = run_program(
        """
        import tlctx
        from tlctx._core._local_c import Steps
        from tlctx import Scope

        class Quiet(Steps):
            def _settle(self): self._scope.close()
            def _failed(self, error): pass
            def _fail(self, error): pass
            def _dropped(self): pass

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
        TLCTX_PURE_PYTHON="",  # its scopes stand on the compiled twin
    )
    assert asked == "close of Iterable\n"
