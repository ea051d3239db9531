"""What all routes of the app under test share. A route takes `(environ, start_response, tag)`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from servers.state import still_its_own

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROUTES: dict[str, Callable[..., Any]] = {}
MEGABYTE = b"m" * 2**20


class Boom(Exception):
    """What the app raises."""


def route(function: Callable[..., Any]) -> Callable[..., Any]:
    """Serve it under its name."""
    ROUTES[function.__name__] = function
    return function


def start(start_response: Any, status: str = "200 OK", *headers: tuple[str, str]) -> Any:
    return start_response(status, [("Content-Type", "text/plain"), *headers])


def answer(start_response: Any, text: str) -> list[bytes]:
    start(start_response, "200 OK", ("Content-Length", str(len(text))))
    return [text.encode()]


def raising(error: BaseException) -> NoReturn:
    raise error


def pieces(tag: str, number: int, piece: bytes = b"piece ") -> Iterator[bytes]:
    for _ in range(number):
        still_its_own(tag)
        yield piece
    still_its_own(tag)
