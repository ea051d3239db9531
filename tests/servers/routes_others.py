"""Routes for faults from outside: clients that leave, and threads, processes and jobs that go on."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from wsgiref.util import FileWrapper

from servers import state
from servers.routing import MEGABYTE, answer, pieces, route, start
from servers.state import PATIENCE, ctx, event, still_its_own, use, wait_for_flag

if TYPE_CHECKING:
    from collections.abc import Iterator

# Clients that leave


@route
def wait_before_headers(environ: Any, start_response: Any, tag: str) -> Any:
    use(tag)
    wait_for_flag(tag)
    still_its_own(tag)
    start(start_response)
    return pieces(tag, 64, MEGABYTE)


@route
def wait_before_first_chunk(environ: Any, start_response: Any, tag: str) -> Any:
    use(tag)
    start(start_response)

    def body() -> Iterator[bytes]:
        wait_for_flag(tag)
        yield from pieces(tag, 64, MEGABYTE)

    return body()


@route
def large(environ: Any, start_response: Any, tag: str) -> Any:
    """256 MB."""
    use(tag)
    start(start_response)
    return pieces(tag, 256, MEGABYTE)


@route
def large_file(environ: Any, start_response: Any, tag: str) -> Any:
    """The same, through the server's file wrapper if it has one."""
    use(tag)
    start(start_response, "200 OK", ("Content-Length", str(256 * 2**20)))
    file = tempfile.TemporaryFile()  # noqa: SIM115 (the server closes it)
    file.truncate(256 * 2**20)
    return environ.get("wsgi.file_wrapper", FileWrapper)(file, 2**20)


@route
def some_megabytes(environ: Any, start_response: Any, tag: str) -> Any:
    use(tag)
    start(start_response, "200 OK", ("Content-Length", str(4 * 2**20)))
    return pieces(tag, 4, MEGABYTE)


@route
def wait_after_body(environ: Any, start_response: Any, tag: str) -> Any:
    use(tag)
    start(start_response)

    def body() -> Iterator[bytes]:
        yield from pieces(tag, 3)
        wait_for_flag(tag)
        still_its_own(tag)

    return body()


@route
def wait_in_the_middle(environ: Any, start_response: Any, tag: str) -> Any:
    use(tag)
    start(start_response)

    def body() -> Iterator[bytes]:
        yield b"first "
        wait_for_flag(tag)
        yield from pieces(tag, 3)

    return body()


@route
def access_log_raises(environ: Any, start_response: Any, tag: str) -> Any:
    """gunicorn's access log fails at a key that is not a string; those of other servers are made to fail."""
    use(tag)
    environ[42] = "no string"
    start(start_response)
    return pieces(tag, 3)


# Other threads, processes and requests


@route
def fork(environ: Any, start_response: Any, tag: str) -> Any:
    use(tag)
    child = os.fork()
    if child == 0:
        try:
            still_its_own(tag)
            event("child", tag, "ends")
        finally:
            os._exit(0)
    state.wait_until(lambda: f"child {tag} " in state.read_events())  # gevent's waitpid may miss the signal
    os.waitpid(child, os.WNOHANG)
    still_its_own(tag)
    return answer(start_response, tag)


@route
def fork_by_multiprocessing(environ: Any, start_response: Any, tag: str) -> Any:
    use(tag)
    multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined]  # granian's workers are
    child = multiprocessing.get_context("fork").Process(target=still_its_own, args=(tag,))
    child.start()
    child.join(PATIENCE)
    event("child", tag, "ended with", child.exitcode)
    still_its_own(tag)
    return answer(start_response, tag)


pool: list[ThreadPoolExecutor] = []


@route
def pool_job_outlives(environ: Any, start_response: Any, tag: str) -> Any:
    """A job that waits for the request's end, then writes; and another one on the same thread that reads."""
    use(tag)
    if not pool:
        pool.append(ThreadPoolExecutor(1))
    pool[0].submit(outlive, tag)
    pool[0].submit(look, tag)
    return answer(start_response, tag)


@route
def timer_outlives(environ: Any, start_response: Any, tag: str) -> Any:
    use(tag)
    timer = threading.Timer(0.001, outlive, [tag])
    timer.daemon = True
    timer.start()
    return answer(start_response, tag)


def outlive(tag: str) -> None:
    """Use the context after the request has ended, in a thread that it was not propagated to."""
    wait_for_flag(tag)
    look(tag)
    try:
        ctx.user = f"{state.SECRET}-{tag}"
    except RuntimeError as error:
        event("job", tag, type(error).__name__)
    else:
        event("foreign", tag, "a write that nobody refused")


def look(tag: str) -> None:
    user = getattr(ctx, "user", None)
    if user is not None:
        event("foreign", tag, "in a job")


@route
def greenlets_take_turns(environ: Any, start_response: Any, tag: str) -> Any:
    """Requests at once on one thread; each gives way to the others and looks again."""
    use(tag)
    start(start_response)

    def body() -> Iterator[bytes]:
        for _ in range(5):
            time.sleep(0.002)  # patched by gevent: other greenlets run
            still_its_own(tag)
            yield b"turn "

    return body()


@route
def stuck(environ: Any, start_response: Any, tag: str) -> Any:
    """Longer than the server's timeout."""
    use(tag)
    wait_for_flag(tag)
    still_its_own(tag)
    return answer(start_response, tag)
