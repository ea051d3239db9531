"""`local`: threads that `threading` did not start, that end, that come and go at once, and that are forked."""

from __future__ import annotations

import gc
import os
import sys
import threading
from typing import Any

import pytest
from support.helpers import PATIENCE, dicts_of, in_foreign_thread, run_program


@pytest.mark.parametrize("known_to_threading", [False, True], ids=["unknown", "with-a-dummy-thread"])
def test_a_foreign_thread_never_sees_a_dead_one_s_data_although_the_id_is_reused(
    local: Any, *, known_to_threading: bool
) -> None:
    instance = local()
    seen: dict[int, int] = {}

    def serve() -> Any:
        if known_to_threading:
            threading.current_thread()  # as logging does
        found = dict(vars(instance))
        instance.secret = "of this thread"
        seen[threading.get_ident()] = seen.get(threading.get_ident(), 0) + 1
        return found

    assert [in_foreign_thread(serve) for _ in range(50)] == [{}] * 50
    assert max(seen.values()) > 1, "no id was reused: this machine can't show it"


def test_foreign_threads_leave_no_entry_and_no_ghost(local: Any) -> None:
    instance = local()
    known_before = set(threading.enumerate())
    for _ in range(50):
        in_foreign_thread(lambda: setattr(instance, "x", 1))
    gc.collect()
    assert list(dicts_of(instance)) in ([], [id(threading.current_thread())])
    assert set(threading.enumerate()) <= known_before


def test_locals_and_threads_that_come_and_go_at_once_raise_nothing(local: Any) -> None:
    shared = [local() for _ in range(8)]
    failures: list[Any] = []

    def churn() -> None:
        try:
            for number in range(300):
                shared[number % 8].x = number
                assert shared[number % 8].x == number
                shared[(number + 3) % 8] = local()
        except BaseException as error:
            failures.append(error)

    hook, sys.unraisablehook = sys.unraisablehook, failures.append
    try:
        for _ in range(5):
            threads = [threading.Thread(target=churn) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(PATIENCE)
    finally:
        sys.unraisablehook = hook
    # Between a write and the read another thread may have put a new local in its place.
    assert [failure for failure in failures if not isinstance(failure, AttributeError)] == []


def test_a_thread_never_writes_to_the_dict_of_one_that_came_by_while_a_value_was_let_go(local: Any) -> None:
    instance = local()
    stored, dying, looked = threading.Event(), threading.Event(), threading.Event()

    class Slow:
        def __del__(self) -> None:
            dying.set()
            looked.wait(PATIENCE)

    def other() -> dict[str, Any]:
        instance.who = "other"
        stored.set()
        dying.wait(PATIENCE)
        assert instance.who == "other"
        looked.set()
        done.wait(PATIENCE)
        return dict(vars(instance))

    done = threading.Event()
    found: list[dict[str, Any]] = []
    thread = threading.Thread(target=lambda: found.append(other()))
    thread.start()
    assert stored.wait(PATIENCE)

    def leave_a_value_that_only_the_last_look_up_keeps() -> None:
        instance.slow = Slow()
        dicts_of(instance).pop(id(threading.current_thread()))

    leaving = threading.Thread(target=leave_a_value_that_only_the_last_look_up_keeps)
    leaving.start()
    leaving.join(PATIENCE)
    instance.who = "main"
    dying.set()
    done.set()
    thread.join(PATIENCE)
    assert (instance.who, found) == ("main", [{"who": "other"}])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_has_its_own_threads_values_only_also_when_another_was_inside_an_access() -> None:
    program = """
        import gc, os, threading, warnings, weakref
        import tlctx

        warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 warns of fork with threads, which is the point
        inside, release = threading.Event(), threading.Event()

        class Mine(tlctx.local):
            @property
            def slow(self):
                self.mine = Payload()
                payloads.append(weakref.ref(self.mine))
                inside.set()
                release.wait(60)

        class Payload: pass

        payloads = []
        mine = Mine()
        mine.x = "main"
        other = threading.Thread(target=lambda: mine.slow)
        other.start()
        inside.wait(60)
        child = os.fork()
        if child == 0:
            own = list(mine._local__impl.dicts) == [id(threading.current_thread())]
            kept = vars(mine) == {"x": "main"}
            thread = threading.Thread(target=lambda: print(own, kept, vars(mine), flush=True))
            thread.start()
            thread.join()
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        release.set()
        other.join()
        print(status, payloads[0]())
    """
    assert run_program(program) == "True True {}\n0 None\n"


def test_it_can_stand_in_the_place_of_threading_local() -> None:
    """Some want it everywhere; the platform's own storage has to be found all the same."""
    program = """
        import threading, tlctx

        threading.local = tlctx.local
        from tlctx import ctx

        mine = threading.local()
        mine.x = 1
        with ctx.scope(user="ann"):
            found = [ctx.user, mine.x]

        def look():
            found.append(getattr(mine, "x", "nothing"))
            mine.x = 2
            with ctx.scope(user="bob"):
                found.append(ctx.user)

        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
        print(found, mine.x, len(mine._local__impl.dicts))
        """
    assert run_program(program) == "['ann', 1, 'nothing', 'bob'] 1 1\n"
