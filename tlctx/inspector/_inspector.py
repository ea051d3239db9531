"""Inspector: the view as an object, and as a WSGI application."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tlctx import RequestContext
from tlctx.inspector import _local
from tlctx.inspector._access import allows, check_access
from tlctx.inspector._answers import answer, forbidden, unauthorized
from tlctx.inspector._recorder import Recorder
from tlctx.lowlevel import add_observer, check_context, check_field

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from tlctx.inspector._access import Authorize
    from tlctx.inspector._model import View

__all__ = ["Inspector"]


class Inspector:
    """A live view of the requests of `ctx`: a WSGI application to mount."""

    def __init__(
        self,
        ctx: RequestContext,
        token: str | None = None,
        *,
        authorize: Authorize | None = None,
        show: Iterable[str] = (),
    ) -> None:
        check_context(ctx)
        check_access(token, authorize)
        self._token, self._authorize = token, authorize
        self._show = frozenset(show)
        for name in self._show:
            check_field(ctx, name)
        self._recorder = Recorder(ctx)
        add_observer(self._recorder)

    def look(self) -> View:
        """What is served now, and has been served."""
        return _local.look(self._recorder, self._show)

    def stack(self, request: str) -> list[dict[str, Any]] | None:
        """Where the code of the request with this id stands, outermost first; None if it is over."""
        process, _, serial = request.rpartition(":")
        if process != _local.process_id() or not (serial.isdecimal() and len(serial) < 20):
            return None
        return _local.stack(self._recorder, int(serial))

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request for the view: what the server calls (PEP 3333)."""
        self._recorder.forget(environ.get("tlctx.scopes", ()))
        if self._authorize is not None:
            found = None if self._authorize(environ) is True else forbidden()
        else:
            header = environ.get("HTTP_AUTHORIZATION", "").encode("latin-1", "replace")
            found = None if allows(self._token or "", header) else unauthorized()
        if found is None:
            found = answer(
                self,
                environ["REQUEST_METHOD"],
                environ.get("SCRIPT_NAME", ""),
                environ.get("PATH_INFO", ""),
                environ.get("QUERY_STRING", ""),
            )
        start_response(found.status, found.headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [found.body]

    def mount(self, app: WSGIApplication, path: str) -> WSGIApplication:
        """`app`, with the view under `path`."""

        def mounted(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            asked = environ.get("PATH_INFO", "")
            if asked.startswith(path) and asked[len(path) : len(path) + 1] in ("", "/"):
                inner = {**environ, "SCRIPT_NAME": environ.get("SCRIPT_NAME", "") + path, "PATH_INFO": asked[len(path) :]}
                return self(inner, start_response)
            return app(environ, start_response)

        return mounted
