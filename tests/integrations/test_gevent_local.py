"""`local` under gevent: a greenlet is a thread once gevent has patched, and a part of its thread before."""

from __future__ import annotations

import greenlet
import pytest
from support.helpers import run_program

import tlctx

GREENLETS = """
    import threading
    {before}
    import tlctx
    instance = tlctx.local()
    instance.x = "main"
    {after}
    import gevent
    wrong = []

    def serve(number):
        for step in range(3):
            if getattr(instance, "x", None) != (None if step == 0 else number):
                wrong.append(number)
            instance.x = number
            gevent.sleep(0)
            if step == 1:
                threading.current_thread()  # makes gevent's dummy for this greenlet, as logging does

    gevent.joinall([gevent.spawn(serve, number) for number in range(100)])
    thread = threading.Thread(target=serve, args=(1000,))
    thread.start()
    thread.join()
    gevent.sleep(0)
    print(wrong, instance.x, len(instance._local__impl.dicts))
"""


PATCH = "import gevent.monkey; gevent.monkey.patch_all()"


@pytest.mark.parametrize("order", ["before", "after"])
def test_greenlets_are_told_apart_whether_gevent_patches_before_or_after_the_import(order: str) -> None:
    program = GREENLETS.format(**{"before": "", "after": "", order: PATCH})
    assert run_program(program) == "[] main 1\n"


def test_a_greenlet_without_patching_is_part_of_its_thread() -> None:
    instance = tlctx.local()
    instance.x = "the thread's"
    assert greenlet.greenlet(lambda: instance.x).switch() == "the thread's"
