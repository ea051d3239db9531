"""A live view in a test: an inspector of a context, requests that it sees, and requests for the view itself."""

from __future__ import annotations

import base64
import contextlib
import json
import tempfile
from typing import TYPE_CHECKING, Any

from support.helpers import start_nothing
from werkzeug.test import create_environ

from tlctx import ContextMiddleware, RequestContext
from tlctx.inspector import Inspector

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = "a-token-for-the-tests"
BEARER = f"Bearer {TOKEN}"


class Ctx(RequestContext):
    """One field that may be shown, one that may not, and one that is made when it is used."""

    user: str
    password: str


def basic(password: str, user: str = "anybody") -> str:
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


@contextlib.contextmanager
def inspecting(ctx: RequestContext, token: str | None = TOKEN, **options: Any) -> Iterator[Inspector]:
    """An inspector that is closed after the block; its socket is in a directory of its own."""
    with tempfile.TemporaryDirectory(prefix="inspect") as directory:  # pytest's paths are too long for a socket
        inspector = Inspector(ctx, token, directory=directory, **options)
        try:
            yield inspector
        finally:
            inspector.close()


class Answer:
    """What an application has answered."""

    def __init__(
        self, app: Any, path: str = "/requests.json", authorization: str | None = BEARER, **environ: Any
    ) -> None:
        address, _, query = path.partition("?")
        request = create_environ(address or "/", query_string=query)
        request.update({"PATH_INFO": address, **environ})
        if authorization is not None:
            request["HTTP_AUTHORIZATION"] = authorization
        self.status, self.headers = "", dict[str, str]()
        body = app(request, self._start)
        self.body = b"".join(body)

    def _start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        self.status, self.headers = status, dict(headers)
        assert len(self.headers) == len(headers)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def open_request(ctx: RequestContext, path: str = "/notes/7", values: Any = None, **environ: Any) -> Any:
    """The body of a request that goes on until that is closed; it yields "chunk" again and again."""

    def app(environ: Any, start_response: Any) -> Any:
        while True:
            yield b"chunk"

    def initialize(environ: Any) -> Any:
        return values or {}

    return ContextMiddleware(app, ctx, initialize)(
        {"REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": path, **environ}, start_nothing
    )
