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
import io
import logging
import os
import re
import sys
import threading
from dataclasses import field
from typing import TYPE_CHECKING, Any
from wsgiref.util import FileWrapper

from support.helpers import start_nothing

import tlctx
from tlctx import ContextMiddleware, RequestContext, Scope, per_request
from tlctx._core.errors import context_chain
from tlctx._core.implementation import peek_dict, swap_dict

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


class Ctx(RequestContext):
    user: str = "nobody"

    @per_request
    def made(self) -> list[str]:
        return ["made for", self.user]


class Strict(RequestContext, strict=True):
    user: str = "nobody"
    tags: list[str] = field(default_factory=list)


class Special(tlctx.local):
    def __init__(self, value: object) -> None:
        self.value = value

    @property
    def computed(self) -> object:
        return self.value


class AppError(Exception):
    pass


class Stream:
    """A body of three chunks, or of one and an error."""

    def __init__(self, *, fails: bool = False) -> None:
        self.left = 3
        self.fails = fails

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> bytes:
        if self.left == 0:
            raise StopIteration
        if self.left == 2 and self.fails:
            raise AppError
        self.left -= 1
        return bytes(ctx.user.encode())


ctx: Any = Ctx()
strict: Any = Strict()
kept: Any = tlctx.local()
special: Any = Special(1)


def make_locals() -> None:
    tlctx.local()
    Special([])
    type("Mine", (tlctx.local,), {})()


def use_attributes() -> None:
    kept.x = [1]
    assert kept.x == [1]
    assert vars(kept)["x"] == [1]
    assert getattr(kept, "missing", None) is None
    kept.y = 2
    del kept.y
    assert special.computed == 1
    swap_dict(special, None)
    assert special.computed == 1


def bind_by_hand() -> None:
    scope = Scope(ctx)
    try:
        displaced = scope.bind()
        try:
            ctx.user = "ann"
            assert ctx.user == "ann"
        finally:
            scope.unbind(displaced)
    finally:
        scope.close()


def open_scopes_by_with() -> None:
    with ctx.scope(user="ann"):
        assert ctx.user == "ann"
        with ctx.scope():
            assert ctx.user == "nobody"


def open_strict_scopes() -> None:
    with strict.scope(user="ann"):
        strict.user = "bob"
        strict.tags = [strict.user]
        assert strict.pop("user") == "bob"


def answer_a_list(environ: Any, start_response: Any) -> Any:
    ctx.user = "ann"
    return [ctx.user.encode()]


def answer_a_stream(environ: Any, start_response: Any) -> Any:
    ctx.user = "ann"
    return Stream()


def answer_a_generator(environ: Any, start_response: Any) -> Any:
    ctx.user = "ann"
    return (ctx.user.encode() for _ in range(3))


def answer_a_file(environ: Any, start_response: Any) -> Any:
    ctx.user = "ann"
    return environ["wsgi.file_wrapper"](io.BytesIO(b"x" * 10))


def answer_an_error(environ: Any, start_response: Any) -> Any:
    ctx.user = "ann"
    raise AppError


def fail_while_streaming(environ: Any, start_response: Any) -> Any:
    return Stream(fails=True)


def answer_with_a_teardown(environ: Any, start_response: Any) -> Any:
    ctx.callback(len, "first")
    assert ctx.made[1] == "nobody"
    ctx.callback(len, ctx.made)
    return [b"a"]


def served(app: Any) -> Callable[[], None]:
    """A request, as a server runs it."""
    middleware = ContextMiddleware(app, ctx)
    chunks: list[bytes] = [b""] * 8

    def serve() -> None:
        environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "wsgi.file_wrapper": FileWrapper}
        try:
            body: Any = middleware(environ, start_nothing)
            try:
                for number, chunk in enumerate(body):
                    chunks[number] = chunk
            finally:
                if type(body) is not list:
                    body.close()
        except AppError:
            pass

    return serve


WORK: dict[str, Callable[[], None]] = {
    "make_locals": make_locals,
    "use_attributes": use_attributes,
    "bind_by_hand": bind_by_hand,
    "open_scopes_by_with": open_scopes_by_with,
    "open_strict_scopes": open_strict_scopes,
    **{
        app.__name__: served(app)
        for app in (
            answer_a_list, answer_a_stream, answer_a_generator, answer_a_file, answer_an_error,
            fail_while_streaming, answer_with_a_teardown,
        )
    },
}  # fmt: skip
next_request = served(answer_a_stream)
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
