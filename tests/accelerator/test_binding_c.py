"""The C accelerator binds and unbinds in one step: no exception of a signal handler comes in between."""

from __future__ import annotations

import random
import signal
import sys
import threading
from typing import Any

import pytest
from support.helpers import PATIENCE, Timeout
from support.requests import answer, ctx

import tlctx
from tlctx._core.implementation import peek_dict, swap_dict


@pytest.mark.skipif(
    tlctx.IMPLEMENTATION != "c", reason="in Python a signal's exception can arrive between any two steps"
)
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs setitimer")
def test_a_timeout_by_signal_leaves_no_scope_bound_wherever_it_arrives() -> None:
    def time_out(*_: Any) -> None:
        raise Timeout

    class Endless:
        def __iter__(self) -> Any:
            return self

        def __next__(self) -> bytes:
            return b"x"

    done = threading.Event()

    # Another thread that looks makes each step find its cache entry anew, in Python, where such an exception arrives.
    def look() -> None:
        while not done.is_set():
            getattr(ctx, "x", None)

    other = threading.Thread(target=look)
    interval, handler = sys.getswitchinterval(), signal.signal(signal.SIGALRM, time_out)
    hook, sys.unraisablehook = sys.unraisablehook, lambda _: None  # it may also arrive in a finalizer
    sys.setswitchinterval(1e-5)
    left: list[Any] = []
    other.start()
    try:
        for _ in range(3000):
            body = answer(lambda environ, start_response: Endless())
            try:
                signal.setitimer(signal.ITIMER_REAL, random.random() * 2e-4)
                while True:
                    next(body)
            except Timeout:
                left.append(peek_dict(ctx))
                swap_dict(ctx, None)
            body.close()
    finally:
        sys.setswitchinterval(interval)
        done.set()
        other.join(PATIENCE)
        signal.signal(signal.SIGALRM, handler)
        sys.unraisablehook = hook
    assert left == [None] * 3000
