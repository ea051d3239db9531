"""A process whose allocations fail, from each point on: `python -m accelerator.failing_allocations WORK`.

`_testcapi.set_nomemory(start, stop)` has the interpreter's allocations fail from one number up to another. Each piece
of work is done with the first allocation failing, then with the second, and so on until it gets by with what it is
left: once where that one alone fails, and once with those that follow it. Whatever fails, the error is a MemoryError or
was caused by one, the thread is as before, no scope stays open, and the next request is served.
"""

from __future__ import annotations

import faulthandler
import gc
import importlib
import logging
import os
import re
import sys
import threading
from typing import TYPE_CHECKING, Any

from accelerator.allocation_work import WORK, ctx, kept, next_request, special, strict

from tlctx import Scope
from tlctx._core.errors import context_chain
from tlctx._core.implementation import peek_dict

if TYPE_CHECKING:
    from collections.abc import Callable

testcapi: Any = importlib.import_module("_testcapi")
LIMIT = 3000
"""More allocations than any of the work makes."""
IN_A_ROW = 3
"""How many fail together. With many more what tidies up fails as well, and the interpreter tries some in a loop."""
INTERPRETERS = re.compile(
    r"can't allocate lock|<function .*> returned NULL without setting an exception|error return without exception set"
)
"""What the interpreter's own errors say, in the place of a MemoryError; C code that did the like ends a debug build."""


unraisable: list[BaseException] = []


class Other:
    """Another thread that uses the locals too, so that this one has to look its dicts up anew."""

    def __init__(self) -> None:
        self.go, self.done = threading.Semaphore(0), threading.Semaphore(0)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        while self.go.acquire():
            kept.x = special.value = 1
            assert peek_dict(ctx) is peek_dict(strict) is None
            self.done.release()

    def use_them(self) -> None:
        self.go.release()
        self.done.acquire()


def attempt(work: Callable[[], None], start: int, stop: int) -> list[BaseException]:
    """What the work raises, if anything, where the allocations from `start` up to `stop` fail."""
    error = None
    testcapi.set_nomemory(start, stop)
    try:
        work()
    except BaseException as raised:
        error = raised
    finally:
        testcapi.remove_mem_hooks()
    return [] if error is None else [error]


def is_caused_by_memory(error: BaseException) -> bool:
    """Whether it is a MemoryError, has one in its chain, or is what the interpreter itself raises in its place."""
    return any(isinstance(link, MemoryError) or INTERPRETERS.fullmatch(str(link)) for link in context_chain(error))


def open_scopes() -> list[Scope]:
    """The scopes that have begun and not ended; one that is half-made has not begun."""
    found = [thing for thing in gc.get_objects() if type(thing) is Scope]
    return [scope for scope in found if getattr(scope, "thread", 0) and not scope.ended]


def problems(errors: list[BaseException]) -> list[str]:
    """What is not as it should be after an attempt."""
    found = [f"raised {error!r}" for error in (*errors, *unraisable) if not is_caused_by_memory(error)]
    unraisable.clear()
    found += [
        f"the thread's dict is {peek_dict(used)!r}, the map {used._local__impl.dicts!r}"
        for used in (ctx, strict)
        if peek_dict(used) is not None or used._local__impl.dicts
    ]
    errors.clear()  # whose tracebacks keep what the work has made
    for _ in range(2):  # what goes first may have kept more
        gc.collect()
    found += [f"{scope} is open" for scope in open_scopes()]
    next_request()
    gc.collect()  # so that the next attempt allocates what the interpreter keeps in stock
    return found


def try_all(name: str) -> list[str]:
    """Let each allocation of the work fail. Returns what was wrong, by where it was."""
    work, found, other = WORK[name], [], Other()
    work()  # what is made once is made now
    gc.collect()
    gc.freeze()  # what is here by now need not be looked at each time
    for alone, taken_over in [(True, False), (False, False), (True, True), (False, True)]:
        for start in range(LIMIT):
            where = f"{name}: allocation {start}{' alone' * alone}{', the cache taken over' * taken_over}"
            sys.stdout.write(f"{where}\n")
            sys.stdout.flush()
            if taken_over:
                other.use_them()
            errors = attempt(work, start, start + (1 if alone else IN_A_ROW))
            passed = not errors
            found += [f"{where}: {problem}" for problem in problems(errors)]
            if passed and (not alone or makes_no_more(work, start)):
                break
        else:
            found.append(f"makes more than {LIMIT} allocations")
    return found


def makes_no_more(work: Callable[[], None], start: int) -> bool:
    """Whether the work gets by with this number of allocations."""
    errors = attempt(work, start, start + IN_A_ROW)
    passed = not errors
    problems(errors)
    return passed


def main(name: str) -> None:
    faulthandler.enable()
    logging.getLogger("tlctx").disabled = True
    sys.unraisablehook = lambda raised: unraisable.append(raised.exc_value or SystemError("nothing"))
    found = try_all(name)
    sys.stdout.write("\n".join([*found, "done\n"]))
    sys.stdout.flush()
    os._exit(bool(found))


if __name__ == "__main__":
    main(sys.argv[1])
