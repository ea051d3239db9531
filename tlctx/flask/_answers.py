"""Flask's answers: which of them are streamed, what their status is, and the route that they answer."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import flask
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

from tlctx._routes import ROUTE

if TYPE_CHECKING:
    from flask import Flask

__all__ = ["error_page", "is_streamed", "note_route", "status_of"]


def is_streamed(response: Any) -> bool:
    """Whether code of the application may run while the server sends the response, or when it closes it."""
    # `_on_close` is where `call_on_close` puts functions.
    if not _is_plain(type(response)) or getattr(response, "_on_close", True):  # type: ignore[arg-type]
        return True
    body = response.response
    return not (type(body) is list or type(body) is tuple or vars(response).get("_tlctx_page") is body)


@functools.lru_cache
def _is_plain(cls: Any) -> bool:
    """Whether nothing that a response of this class does while it is sent is the application's own."""
    methods = ("__call__", "get_wsgi_response", "get_app_iter", "iter_encoded", "close")
    return all(getattr(cls, name, None) is getattr(Response, name) for name in methods)


def error_page(app: Flask, error: HTTPException) -> Any:
    """The response that Flask makes of an exception that answers for itself, of `abort(404)` for example.

    Its body is an iterator, as Flask runs the exception as a WSGI application; the application's code is not in it.
    """
    response: Any = app.make_response(error)
    makes_page = error.response is None and _makes_page(type(error))  # type: ignore[arg-type]
    if makes_page or (error.response is not None and not is_streamed(error.response)):
        response._tlctx_page = response.response
    return response


@functools.lru_cache
def _makes_page(cls: Any) -> bool:
    """Whether an HTTPException of this class makes its response itself, in code of werkzeug's."""
    methods = [getattr(cls, name) for name in ("__call__", "get_response", "get_body")]
    return all(method.__module__.startswith("werkzeug.") for method in methods)


def status_of(answer: Any) -> int:
    if isinstance(answer, HTTPException):
        return (answer.code or 0) if answer.response is None else answer.response.status_code
    status: int = answer.status_code
    return status


def note_route() -> None:
    """Note the route of the current request in its environ: Flask takes the request out before its scope ends."""
    request = _current_request()
    environ = request.environ
    if ROUTE in environ:  # of an application that is mounted in this one
        return
    try:
        rule = request.url_rule
        route = None if rule is None else rule.rule
    except Exception:  # noqa: BLE001  # a request's class is often the application's own
        return
    if isinstance(route, str):
        environ[ROUTE] = route


_current_request: Any = flask.request._get_current_object  # type: ignore[attr-defined]
"""The request itself: each look at an attribute of `flask.request` takes two microseconds."""
