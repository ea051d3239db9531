"""Routes that answer wrongly or unusually: exceptions, broken answers, and ends that fail."""

from __future__ import annotations

import gc
import sys
import threading
from typing import TYPE_CHECKING, Any

from gevent import Timeout
from greenlet import GreenletExit
from servers import state
from servers.routing import Boom, answer, pieces, raising, route, start
from servers.state import PATIENCE, ctx, event, still_its_own, use

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Exceptions


EXCEPTIONS: dict[str, type[BaseException]] = {
    "system_exit": SystemExit, "keyboard_interrupt": KeyboardInterrupt, "generator_exit": GeneratorExit,
    "greenlet_exit": GreenletExit, "gevent_timeout": Timeout, "stop_iteration": StopIteration,
}  # fmt: skip
"""What an app may raise, by the fault's name; gevent's exceptions are used on every server."""


@route
def raise_before_start_response(environ: Any, start_response: Any, tag: str) -> Any:
    use(tag)
    raise Boom


@route
def raise_after_start_response(environ: Any, start_response: Any, tag: str) -> Any:
    use(tag)
    start(start_response)
    raise Boom


@route
def raise_after_write(environ: Any, start_response: Any, tag: str) -> Any:
    use(tag)
    start(start_response)(b"written")
    raise Boom


@route
def raise_from_app(environ: Any, start_response: Any, tag: str) -> Any:
    """The exception that the tag begins with."""
    use(tag)
    raise EXCEPTIONS[tag.split(".", maxsplit=1)[0]]


@route
def raise_in_chunk(environ: Any, start_response: Any, tag: str) -> Any:
    """The same in the middle of the body."""
    use(tag)
    start(start_response)

    def body() -> Iterator[bytes]:
        yield b"first"
        yield b"second"
        still_its_own(tag)
        raise EXCEPTIONS[tag.split(".", maxsplit=1)[0].removesuffix("_in_chunk")]

    return body()


@route
def raise_in_first_chunk(environ: Any, start_response: Any, tag: str) -> Any:
    use(tag)
    start(start_response)
    return (raising(Boom()) for _ in "1")


@route
def raise_in_middle_chunk(environ: Any, start_response: Any, tag: str) -> Any:
    use(tag)
    start(start_response)
    return (raising(Boom()) if number == 3 else b"chunk" for number in range(5))


# Answers that break PEP 3333


@route
def return_none(environ: Any, start_response: Any, tag: str) -> Any:
    use(tag)
    start(start_response)


@route
def return_str(environ: Any, start_response: Any, tag: str) -> Any:
    use(tag)
    start(start_response)
    return "text"


@route
def return_number(environ: Any, start_response: Any, tag: str) -> Any:
    use(tag)
    start(start_response)
    return 42


@route
def never_start_response(environ: Any, start_response: Any, tag: str) -> Any:
    use(tag)
    return (b"x" for _ in range(3))


@route
def chunk_is_no_bytes(environ: Any, start_response: Any, tag: str) -> Any:
    use(tag)
    start(start_response)
    return (chunk for chunk in (b"bytes", "text", b"bytes"))


@route
def content_length_too_large(environ: Any, start_response: Any, tag: str) -> Any:
    use(tag)
    start(start_response, "200 OK", ("Content-Length", "1000"))
    return pieces(tag, 3)


@route
def content_length_too_small(environ: Any, start_response: Any, tag: str) -> Any:
    use(tag)
    start(start_response, "200 OK", ("Content-Length", "3"))
    return pieces(tag, 3)


# Answers that are unusual, and valid


@route
def empty_generator(environ: Any, start_response: Any, tag: str) -> Any:
    use(tag)
    start(start_response)
    return pieces(tag, 0)


@route
def no_content(environ: Any, start_response: Any, tag: str) -> Any:
    use(tag)
    start_response("204 No Content", [])
    return pieces(tag, 0)


@route
def not_modified(environ: Any, start_response: Any, tag: str) -> Any:
    use(tag)
    start_response("304 Not Modified", [("ETag", '"tag"')])
    return pieces(tag, 0)


@route
def exc_info_before_headers(environ: Any, start_response: Any, tag: str) -> Any:
    use(tag)
    start(start_response)
    return replacing_headers(start_response, tag, 0)


@route
def exc_info_after_headers(environ: Any, start_response: Any, tag: str) -> Any:
    use(tag)
    start(start_response)
    return replacing_headers(start_response, tag, 2)


def replacing_headers(start_response: Any, tag: str, after: int) -> Iterator[bytes]:
    """A body that fails after this many chunks, and answers 500 if it still can."""
    for _ in range(after):
        yield b"chunk"
    try:
        raising(Boom())
    except Boom:
        start_response("500 Oops", [("Content-Type", "text/plain")], sys.exc_info())
    still_its_own(tag)
    yield b"oops"


# Ends of a body, and of a request


class ClosingBody:
    """A body that does something in `close()`."""

    def __init__(self, tag: str, close: Callable[[], object]) -> None:
        self.chunks = pieces(tag, 3)
        self.on_close = close

    def __iter__(self) -> Iterator[bytes]:
        return self.chunks

    def close(self) -> None:
        self.on_close()


@route
def close_raises(environ: Any, start_response: Any, tag: str) -> Any:
    use(tag)
    start(start_response)
    return ClosingBody(tag, lambda: raising(Boom()))


@route
def teardown_raises(environ: Any, start_response: Any, tag: str) -> Any:
    """With other callbacks before and after it."""
    use(tag)
    event("opened", tag, *state.place())
    ctx.callback(raising, Boom())
    ctx.callback(event, "closed", tag)
    return answer(start_response, "text")


@route
def teardown_raises_after_stream(environ: Any, start_response: Any, tag: str) -> Any:
    use(tag)
    event("opened", tag, *state.place())
    ctx.callback(raising, Boom())
    ctx.callback(event, "closed", tag)
    start(start_response)
    return pieces(tag, 3)


# Ends before the body goes out


def chunks_after_the_end(tag: str, number: int = 3) -> Iterator[bytes]:
    for _ in range(number):
        state.has_ended(tag)
        yield b"late "
    state.has_ended(tag)


@route
def closed_early(environ: Any, start_response: Any, tag: str) -> Any:
    use(tag)
    start(start_response)
    state.close_early()
    return chunks_after_the_end(tag)


@route
def closed_early_and_the_teardown_raises(environ: Any, start_response: Any, tag: str) -> Any:
    use(tag)
    ctx.callback(raising, Boom())
    start(start_response)
    state.close_early()

    def body() -> Iterator[bytes]:
        event("foreign", tag, "the body was sent")
        yield b"late"

    return body()


@route
def closed_early_and_the_body_reads_on(environ: Any, start_response: Any, tag: str) -> Any:
    """A body that uses the context, although its request said that it would not."""
    use(tag)
    start(start_response)
    state.close_early()

    def body() -> Iterator[bytes]:
        yield b"first"
        event("foreign", tag, ctx.user)

    return body()


# Bodies that are dropped


@route
def drop_kept_body(environ: Any, start_response: Any, tag: str) -> Any:
    """Drop a body that nobody closed, during this request, and see whether this request's own data is still there."""
    use(tag)
    state.wait_for_kept_body()
    state.kept.clear()
    gc.collect()
    still_its_own(tag)
    return answer(start_response, tag)


@route
def drop_kept_body_on_another_thread(environ: Any, start_response: Any, tag: str) -> Any:
    use(tag)
    event("opened", tag, *state.place())

    def other() -> None:
        def nested(environ: Any, start_response: Any) -> Any:
            ctx.callback(event, "closed", tag)
            ctx.user = mine = f"{state.SECRET}-other-{tag}"
            state.wait_for_kept_body()
            state.kept.clear()
            gc.collect()
            if getattr(ctx, "user", None) != mine:
                event("foreign", tag, "on the other thread")
            return []

        body = state.Middleware(nested, ctx)({"REQUEST_METHOD": "GET"}, lambda *_: None)
        if hasattr(body, "close"):
            body.close()

    thread = threading.Thread(target=other)
    thread.start()
    thread.join(PATIENCE)
    still_its_own(tag)
    return answer(start_response, tag)
