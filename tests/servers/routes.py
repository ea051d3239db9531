"""The app under test, inside the middleware: its routes without a fault, and the way to those that have one."""

from __future__ import annotations

import json
import urllib.parse
from typing import TYPE_CHECKING, Any

from servers import routes_answers, routes_ends, routes_others, state
from servers.routing import ROUTES, answer, pieces, route, start
from servers.state import ctx, still_its_own, use
from werkzeug.test import Client

if TYPE_CHECKING:
    from collections.abc import Iterator

assert all((routes_answers, routes_ends, routes_others))  # each adds its own to ROUTES


@route
def echo(environ: Any, start_response: Any, tag: str) -> Any:
    """No fault."""
    use(tag)
    still_its_own(tag)
    return answer(start_response, tag)


@route
def stream(environ: Any, start_response: Any, tag: str) -> Any:
    """No fault, in pieces."""
    use(tag)
    start(start_response)
    return pieces(tag, 8)


@route
def sized_stream(environ: Any, start_response: Any, tag: str) -> Any:
    """The same with a length."""
    use(tag)
    start(start_response, "200 OK", ("Content-Length", str(8 * len(b"piece "))))
    return pieces(tag, 8)


@route
def test_client_in_view(environ: Any, start_response: Any, tag: str) -> Any:
    use(tag)
    for path in ("/echo", "/stream"):
        Client(served).get(path, query_string={"tag": f"{tag}.inner"})
        still_its_own(tag)
    return answer(start_response, tag)


@route
def test_client_in_stream(environ: Any, start_response: Any, tag: str) -> Any:
    use(tag)
    start(start_response)

    def body() -> Iterator[bytes]:
        for path in ("/echo", "/stream"):
            Client(served).get(path, query_string={"tag": f"{tag}.inner"})
            still_its_own(tag)
            yield b"chunk"

    return body()


@route
def probe(environ: Any, start_response: Any, tag: str) -> Any:
    """What is left of the requests before it."""
    return answer(start_response, json.dumps(state.report(environ["faults.outside"])))


def serve(environ: Any, start_response: Any) -> Any:
    """The app inside the middleware."""
    query = dict(urllib.parse.parse_qsl(environ.get("QUERY_STRING", "")))
    return ROUTES[environ["PATH_INFO"].strip("/")](environ, start_response, query.get("tag", "none"))


served = state.Middleware(serve, ctx)
applied_twice = state.Middleware(served, ctx)
