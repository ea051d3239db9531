"""An application whose requests wait for the test, with a live view under /requests; gunicorn's settings too."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any

from support.inspecting import TOKEN

from tlctx import ContextMiddleware, RequestContext
from tlctx.inspector import Inspector

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


class Ctx(RequestContext):
    user: str = "ann"


ctx = Ctx()
inspector = Inspector(
    ctx, TOKEN, redis=os.environ.get("HELD_REDIS") or None, directory=os.environ.get("HELD_DIRECTORY") or None
)


def hold(port: int) -> None:
    """Wait until the test, which listens at this port, lets go."""
    with socket.create_connection(("127.0.0.1", port)) as test:
        test.recv(1)  # where it waits


def serve(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    _, what, *rest = environ["PATH_INFO"].split("/")
    if what == "hold":
        hold(int(rest[0]))
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    return [b"ok"]


app = inspector.mount(ContextMiddleware(serve, ctx), "/requests")


def post_worker_init(worker: Any) -> None:
    """Have the other workers see this one before its first request."""
    inspector.start()
