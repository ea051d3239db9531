"""Routes that answer wrongly or unusually: exceptions, and broken answers."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from gevent import Timeout
from greenlet import GreenletExit
from servers.routing import Boom, pieces, raising, route, start
from servers.state import still_its_own, use

if TYPE_CHECKING:
    from collections.abc import Iterator

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
