"""The view as a WSGI application (PEP 3333), and in front of another one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tlctx.inspector._answers import Answer, answer, forbidden, unauthorized

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from tlctx.inspector._inspector import Inspector

__all__ = ["mount", "serve"]


def serve(inspector: Inspector, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer a request for the view."""
    inspector._recorder.forget(environ.get("tlctx.scopes", ()))
    found = _refusal(inspector, environ) or answer(
        inspector,
        environ["REQUEST_METHOD"],
        environ.get("SCRIPT_NAME", ""),
        environ.get("PATH_INFO", ""),
        environ.get("QUERY_STRING", ""),
    )
    start_response(found.status, found.headers)
    return [b"" if environ["REQUEST_METHOD"] == "HEAD" else found.body]


def _refusal(inspector: Inspector, environ: dict[str, Any]) -> Answer | None:
    if inspector._access.authorize is not None:
        return None if inspector._access.authorize(environ) is True else forbidden()
    header = environ.get("HTTP_AUTHORIZATION", "").encode("latin-1", "replace")
    return None if inspector._access.allows(header) else unauthorized()


def mount(inspector: Inspector, app: WSGIApplication, path: str) -> WSGIApplication:
    """`app`, with the view at `path`."""

    def mounted(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        asked = environ.get("PATH_INFO", "")
        if not asked.startswith(path) or asked[len(path) : len(path) + 1] not in ("", "/"):
            return app(environ, start_response)
        script = environ.get("SCRIPT_NAME", "") + path
        return serve(inspector, {**environ, "SCRIPT_NAME": script, "PATH_INFO": asked[len(path) :]}, start_response)

    return mounted
