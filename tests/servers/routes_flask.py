"""Routes that Flask serves, outside of the middleware: TLCtx gives each request its scope."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Flask, Response, request, stream_with_context
from servers import state
from servers.routing import Boom, pieces, raising
from servers.state import ctx, event, use

from tlctx.flask import TLCtx

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

flask_app = Flask(__name__)
if state.tlctx_serves:
    TLCtx(flask_app, ctx)
else:
    flask_app.wsgi_app = state.Middleware(flask_app.wsgi_app, ctx)  # type: ignore[method-assign]


class LateBody:
    """The body of an answer whose request has ended, handed to the server."""

    def __init__(self, body: Any, tag: str) -> None:
        self.body = body
        self.tag = tag

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self.body:
            state.has_ended(self.tag)
            yield chunk

    def close(self) -> None:
        state.has_ended(self.tag)
        self.body.close()


def ends_early(environ: Any, start_response: Any) -> Any:
    """Serve what is not streamed."""
    return LateBody(flask_app(environ, start_response), environ["QUERY_STRING"].partition("tag=")[2])


@flask_app.get("/flask_answers")
def flask_answers() -> str:
    use(request.args["tag"])
    return "late"


@flask_app.get("/flask_teardown_raises")
def flask_teardown_raises() -> str:
    use(request.args["tag"])
    ctx.callback(raising, Boom())
    return "late"


@flask_app.errorhandler(500)
def no_error_handler(error: Exception) -> str:
    event("foreign", request.args["tag"], "an error handler was told")
    return "handled"


@flask_app.get("/flask_streams")
def flask_streams() -> Response:
    use(request.args["tag"])
    return Response(stream_with_context(pieces(request.args["tag"], 3)))


FLASK_ROUTES: dict[str, Callable[..., Any]] = {
    "flask_answers": ends_early, "flask_teardown_raises": ends_early, "flask_streams": flask_app,
}  # fmt: skip
