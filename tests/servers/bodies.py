"""Every kind of body that a WSGI app may return: small apps that are served with the middleware, and without it.

They report to `environ["faults.event"]` that a body was closed, and how often Python code read a file. The file they
send is at `environ["faults.file"]`.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any
from wsgiref.util import FileWrapper

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

HELLO = (b"hel", b"lo")
LENGTH = ("Content-Length", "5")

KINDS: dict[str, Callable[..., Any]] = {}


def kind(function: Callable[..., Any]) -> Callable[..., Any]:
    """Serve it under its name."""
    KINDS[function.__name__] = function
    return function


def start(start_response: Any, *headers: tuple[str, str]) -> Any:
    return start_response("200 OK", [("Content-Type", "text/plain"), *headers])


# Nothing but data


@kind
def a_list(environ: Any, start_response: Any) -> Iterable[bytes]:
    start(start_response)
    return [*HELLO]


@kind
def a_list_of_one_block(environ: Any, start_response: Any) -> Iterable[bytes]:
    start(start_response)
    return [b"hello"]


@kind
def an_empty_list(environ: Any, start_response: Any) -> Iterable[bytes]:
    start(start_response)
    return []


@kind
def a_tuple(environ: Any, start_response: Any) -> Iterable[bytes]:
    start(start_response)
    return HELLO


# Iterables with code of their own


class Blocks:
    """An iterable that makes its iterator."""

    def __init__(self, *blocks: bytes) -> None:
        self.blocks = blocks

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.blocks)


class SizedBlocks(Blocks):
    def __len__(self) -> int:
        return len(self.blocks)


class IndexedBlocks:
    """Iterable by the old protocol, `__getitem__` alone."""

    def __getitem__(self, index: int) -> bytes:
        return HELLO[index]


class ClosedBlocks(Blocks):
    """Reports that it was closed."""

    def __init__(self, environ: Any, *blocks: bytes) -> None:
        super().__init__(*blocks)
        self.event = environ["faults.event"]

    def close(self) -> None:
        self.event("closed")


class SizedClosedBlocks(SizedBlocks, ClosedBlocks):
    pass


class FailingBlocks(ClosedBlocks):
    """Fails after its blocks."""

    def __iter__(self) -> Iterator[bytes]:
        yield from self.blocks
        raise ValueError("the body failed")


def serving_blocks(make: Callable[[Any], Any], *headers: tuple[str, str]) -> Callable[..., Any]:
    """An app that returns what `make` makes from the environ."""

    def app(environ: Any, start_response: Any) -> Any:
        start(start_response, *headers)
        return make(environ)

    return app


KINDS |= {
    "an_iterable": serving_blocks(lambda environ: Blocks(*HELLO)),
    "a_sized_iterable": serving_blocks(lambda environ: SizedBlocks(*HELLO)),
    "a_sized_iterable_of_one_block": serving_blocks(lambda environ: SizedBlocks(b"hello")),
    "an_empty_sized_iterable": serving_blocks(lambda environ: SizedBlocks()),
    "an_iterable_by_index": serving_blocks(lambda environ: IndexedBlocks()),
    "an_iterable_with_close": serving_blocks(lambda environ: ClosedBlocks(environ, *HELLO)),
    "a_sized_iterable_with_close": serving_blocks(lambda environ: SizedClosedBlocks(environ, *HELLO)),
    "an_iterator": serving_blocks(lambda environ: iter(HELLO)),
    "a_generator": serving_blocks(lambda environ: (block for block in HELLO)),
    "an_empty_generator": serving_blocks(lambda environ: (block for block in [*HELLO][:0])),
    "a_generator_with_empty_blocks": serving_blocks(lambda environ: (block for block in (b"", b"hel", b"", b"lo"))),
    "a_generator_with_content_length": serving_blocks(lambda environ: (block for block in HELLO), LENGTH),
    "a_generator_of_a_megabyte": serving_blocks(lambda environ: (b"%4096d" % number for number in range(256))),
}

a_body_that_fails = serving_blocks(lambda environ: FailingBlocks(environ, *HELLO))


@kind
def a_generator_that_starts_the_response(environ: Any, start_response: Any) -> Iterator[bytes]:
    start(start_response)
    yield from HELLO


@kind
def a_generator_that_is_closed(environ: Any, start_response: Any) -> Iterator[bytes]:
    start(start_response)
    try:
        yield from HELLO
    finally:
        environ["faults.event"]("closed")


# The `write` that `start_response` returns


@kind
def write(environ: Any, start_response: Any) -> Iterable[bytes]:
    send = start(start_response)
    for block in HELLO:
        send(block)
    return []


@kind
def write_and_a_list(environ: Any, start_response: Any) -> Iterable[bytes]:
    start(start_response)(b"hel")
    return [b"lo"]


@kind
def write_and_a_generator(environ: Any, start_response: Any) -> Iterable[bytes]:
    start(start_response, LENGTH)(b"hel")
    return (block for block in (b"lo",))


# Files


class Watched:
    """A file that reports that it was closed, and how often Python code had read it."""

    def __init__(self, environ: Any, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.event = environ["faults.event"]
        self.reads = 0

    def close(self) -> None:
        file: Any = super()
        if not file.closed:
            self.event("closed")
            self.event("reads", self.reads)
        file.close()


def counting(name: str) -> Any:
    def method(self: Any, *arguments: Any) -> Any:
        self.reads += 1
        return getattr(super(Watched, self), name)(*arguments)

    return method


for name in ("read", "read1", "readall", "readinto", "readline", "readlines", "__iter__", "__next__"):
    setattr(Watched, name, counting(name))


class WatchedFile(Watched, io.FileIO):
    """A file with a descriptor, so that the system can send it without Python reading it."""


class WatchedBytes(Watched, io.BytesIO):
    """A file in memory, without a descriptor."""


def wrapped(environ: Any, file: Any) -> Any:
    """The file in the server's wrapper, or in the standard library's if the server has none."""
    return environ.get("wsgi.file_wrapper", FileWrapper)(file)


def path_of(environ: Any) -> Path:
    return Path(environ["faults.file"])


@kind
def a_file(environ: Any, start_response: Any) -> Any:
    start(start_response)
    return wrapped(environ, WatchedFile(environ, path_of(environ)))


@kind
def a_file_with_content_length(environ: Any, start_response: Any) -> Any:
    start(start_response, ("Content-Length", str(path_of(environ).stat().st_size)))
    return wrapped(environ, WatchedFile(environ, path_of(environ)))


@kind
def the_rest_of_a_file(environ: Any, start_response: Any) -> Any:
    start(start_response)
    file = WatchedFile(environ, path_of(environ))
    file.seek(5)
    return wrapped(environ, file)


@kind
def a_file_in_memory(environ: Any, start_response: Any) -> Any:
    start(start_response)
    return wrapped(environ, WatchedBytes(environ, b"hello"))


@kind
def a_file_without_a_wrapper(environ: Any, start_response: Any) -> Any:
    start(start_response)
    return WatchedBytes(environ, b"hel\nlo")
