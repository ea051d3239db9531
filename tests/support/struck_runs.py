"""Requests, and blocks with a scope, that use everything: what is struck by exceptions from outside."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

from tlctx import ContextMiddleware, RequestContext, counters, per_request
from tlctx._core.attached import attached_scopes
from tlctx._core.implementation import peek_dict, swap_dict
from tlctx.lowlevel import Scope, bound, open_scopes
from tlctx.threads import snapshot


class Boom(Exception):
    """What the application raises."""


class Ctx(RequestContext):
    user: str = "stranger"

    @per_request
    def db(self) -> Iterator[str]:
        with Part("db"):
            yield "connection"


ctx = Ctx()


class Run:
    """What the last run did."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        self.opened: list[str] = []
        self.closed: list[tuple[str, str]] = []
        self.scope: Scope | None = None
        self.closed_before: int | None = None  # when the application failed, if it did


run = Run()
numbers = count(1)


class Part:
    """A part of a teardown: notes that it was opened, and closed with what error."""

    def __init__(self, name: str) -> None:
        self.name = f"{name} {next(numbers)}"

    def __enter__(self) -> None:
        run.opened.append(self.name)

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        run.closed.append((self.name, type(error).__name__))


def use_everything() -> None:
    ctx.user = "ann"
    ctx.enter_context(Part("first"))
    assert ctx.db == "connection"
    ctx.enter_context(Part("last"))


def plain_list(environ: Any, start_response: Any) -> Any:
    ctx.user = "ann"
    return [b"x"]


def list_with_teardown(environ: Any, start_response: Any) -> Any:
    use_everything()
    return [b"x"]


def plain_stream(environ: Any, start_response: Any) -> Any:
    ctx.user = "ann"
    yield b"x"


def stream_with_teardown(environ: Any, start_response: Any) -> Any:
    use_everything()
    yield b"x"
    assert ctx.user == "ann"


def error(environ: Any, start_response: Any) -> Any:
    ctx.user = "ann"
    fail()


def error_with_teardown(environ: Any, start_response: Any) -> Any:
    use_everything()
    fail()


def failing_stream(environ: Any, start_response: Any) -> Any:
    use_everything()
    yield b"x"
    fail()


def fail() -> None:
    run.closed_before = len(run.closed)
    raise Boom


class Closable:
    """A body with a `close` of its own."""

    def __iter__(self) -> Iterator[bytes]:
        return iter([b"x"])

    def close(self) -> None:
        assert ctx.user == "ann"


class File(Closable):
    """The server's class of file wrappers."""


class Sized(Closable):
    """A body with a length too."""

    def __len__(self) -> int:
        return 1


def plain_file(environ: Any, start_response: Any) -> Any:
    ctx.user = "ann"
    return environ["wsgi.file_wrapper"]()


def file_with_teardown(environ: Any, start_response: Any) -> Any:
    use_everything()
    return environ["wsgi.file_wrapper"]()


def sized_body(environ: Any, start_response: Any) -> Any:
    use_everything()
    return Sized()


def nested_scope(environ: Any, start_response: Any) -> Any:
    use_everything()
    with ctx.scope(user="bob"):
        ctx.enter_context(Part("inner"))
        assert ctx.user == "bob"
    assert ctx.user == "ann"
    return [b"x"]


def nested_scope_in_a_stream(environ: Any, start_response: Any) -> Any:
    use_everything()
    with ctx.scope(user="bob"):
        ctx.enter_context(Part("inner"))
        yield b"x"
        assert ctx.user == "bob"


def nested_request(environ: Any, start_response: Any) -> Any:
    use_everything()
    serve(stream_with_teardown)
    assert ctx.user == "ann"
    return [b"x"]


def failing_part(environ: Any, start_response: Any) -> Any:
    use_everything()
    ctx.callback(fail)
    ctx.enter_context(Part("latest"))
    return [b"x"]


APPS = [
    plain_list, list_with_teardown, plain_stream, stream_with_teardown, error, error_with_teardown, failing_stream,
    plain_file, file_with_teardown, sized_body, nested_scope, nested_scope_in_a_stream, nested_request, failing_part,
]  # fmt: skip


def serve(app: Any) -> None:
    """One request, as a server runs it."""
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "wsgi.file_wrapper": File}
    body: Any = middlewares[app](environ, lambda *args: lambda data: None)
    try:
        if hasattr(body, "__len__"):
            len(body)
        if not isinstance(body, File):
            for _ in body:
                pass
    finally:
        if hasattr(body, "close"):
            body.close()


middlewares = {app: ContextMiddleware(app, ctx) for app in APPS}


def dropped_stream() -> None:
    """A request whose body the server drops."""
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/"}
    body = middlewares[stream_with_teardown](environ, lambda *args: lambda data: None)
    next(iter(body))


def a_bound_scope() -> None:
    """A piece of code of a scope that is closed by somebody else, later."""
    run.scope = Scope(ctx)
    with bound(run.scope):
        use_everything()


def a_block() -> None:
    """Code outside any request, with a scope of its own."""
    with ctx.scope(user="bob"):
        use_everything()


def a_failing_block() -> None:
    with ctx.scope(user="bob"):
        use_everything()
        fail()


def nested_blocks() -> None:
    with ctx.scope(user="bob"):
        use_everything()
        with ctx.scope(user="carol"):
            ctx.enter_context(Part("inner"))
        assert ctx.user == "ann"


def a_job() -> None:
    """A job of a request, on this very thread."""
    with ctx.scope(user="bob"):
        snapshot(ctx).run(use_everything)
        assert ctx.user == "bob"


def a_failing_job() -> None:
    with ctx.scope(user="bob"):
        snapshot(ctx).run(error_with_teardown, None, None)


def a_job_in_a_block() -> None:
    with ctx.scope(user="bob"):
        with snapshot(ctx).scope():
            use_everything()
        assert ctx.user == "bob"


BLOCKS = (
    dropped_stream, a_bound_scope, a_block, a_failing_block, nested_blocks, a_job, a_failing_job, a_job_in_a_block,
)  # fmt: skip
RUNS: dict[str, Callable[[], None]] = {
    **{app.__name__: lambda app=app: serve(app) for app in APPS},  # type: ignore[misc]
    **{block.__name__: block for block in BLOCKS},
}


def find_faults() -> list[str]:
    """What is wrong after a run that was struck."""
    found = []
    if peek_dict(ctx) is not None:
        found.append(f"the thread has {peek_dict(ctx)!r}")
    if attached_scopes.get():
        found.append("a scope is attached")
    if open_scopes():
        found.append(f"open: {open_scopes()}")
    names = [name for name, _ in run.closed]
    if len(names) != len(set(names)):
        found.append(f"closed more than once: {names}")
    if not set(run.opened) <= set(names):
        found.append(f"never closed: {set(run.opened) - set(names)}")
    if run.closed_before is not None and ("NoneType" in [error for _, error in run.closed[run.closed_before :]]):
        found.append(f"closed without the error: {run.closed}")
    return found


def find_faults_after_the_next() -> list[str]:
    """What is wrong after the next scope of the thread, where a run has left something for it to close."""
    before, to_report = counters().unleft_scopes, len(open_scopes())
    with ctx.scope():
        pass
    gc.collect()
    reported = counters().unleft_scopes - before
    return find_faults() + ([] if reported == to_report else [f"{reported} were reported, not {to_report}"])


def clean() -> None:
    """Forget what a run has left."""
    swap_dict(ctx, None)
    attached_scopes.set(())
    for scope in open_scopes():
        scope.close()
