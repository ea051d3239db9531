"""The WSGI middleware (PEP 3333)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from tlctx.headers._config import Headers

__all__ = ["WSGIMiddleware"]


class WSGIMiddleware:
    """A WSGI application around another one: reads the headers of each request, then calls that."""

    def __init__(self, app: WSGIApplication, headers: Headers) -> None:
        self.app = app
        self.headers = headers

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request: what the server calls."""
        # Of a repeated header the server makes one, with commas, or keeps one of them.
        received = {name: [environ[key]] for name, key in self.headers._environ_keys if key in environ}
        request_id = self.headers._receive(environ, received)
        if self.headers.echo:
            start_response = _with_header(start_response, self.headers.request_id_header, request_id)
        return self.app(environ, start_response)


def _with_header(start_response: StartResponse, name: str, value: str) -> StartResponse:
    """A `start_response` that adds a header, unless the application has set it."""

    def start_with_header(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Callable[[bytes], object]:
        if not any(other.lower() == name.lower() for other, _ in headers):
            headers = [*headers, (name, value)]
        return start_response(status, headers, *exc_info)

    return start_with_header
