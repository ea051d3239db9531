"""The client of `tlctx_client`, and the application that it calls."""

from __future__ import annotations

import functools
from contextlib import AbstractContextManager, nullcontext
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any

import pytest

from tlctx import ContextMiddleware, RequestContext

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["client_of"]

_DEPTH = 8
"""How many middlewares may be around ours."""


def client_of(app: Any, context: RequestContext) -> AbstractContextManager[Any]:
    """A client of `app` that stays open as long as the block."""
    if hasattr(app, "test_client"):  # Flask's, whose users know it; TLCtx has wrapped the application
        return nullcontext(app.test_client())
    if not callable(app):
        raise pytest.UsageError(f"tlctx_app has to return a WSGI application, a callable, not {type(app).__name__}")
    wrapped = app if has_middleware(app, context, _DEPTH) else ContextMiddleware(app, context)
    return _client(functools.partial(_call, wrapped))


def _client(app: Any) -> AbstractContextManager[Any]:
    try:
        from werkzeug.test import Client
    except ImportError:
        try:
            from webtest import TestApp
        except ImportError:
            raise pytest.UsageError("tlctx_client needs werkzeug or WebTest: install one of them") from None
        return nullcontext(TestApp(app))
    return nullcontext(Client(app))


def has_middleware(app: object, context: RequestContext, depth: int) -> bool:
    """Whether a ContextMiddleware of `context` is `app`, or is inside of it as far as one can see."""
    if isinstance(app, ContextMiddleware) and app.ctx is context:
        return True
    return depth > 0 and any(has_middleware(inner, context, depth - 1) for inner in _parts(app))


def _parts(app: Any) -> Iterator[Any]:
    """The callables that a middleware may call: its attributes, and what a function or a method has at hand."""
    if isinstance(app, functools.partial):
        yield from (app.func, *app.args)
    elif isinstance(app, MethodType):
        yield app.__self__
    elif isinstance(app, FunctionType):
        yield from (cell.cell_contents for cell in app.__closure__ or () if _is_filled(cell))
    elif not isinstance(app, type):
        yield from (value for value in getattr(app, "__dict__", {}).values() if callable(value))


def _is_filled(cell: Any) -> bool:
    try:
        return callable(cell.cell_contents)
    except ValueError:
        return False


def _call(app: Any, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    body = app(environ, start_response)
    return body if isinstance(body, list | tuple) or not hasattr(body, "close") else _ReadBody(body)


class _ReadBody:
    """A body that is closed when it was read to its end, as a server does; a client waits until the test is done."""

    def __init__(self, body: Any) -> None:
        self._body = body
        self._iterator = iter(body)
        self._open = True

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._iterator)  # type: ignore[no-any-return]
        except StopIteration:
            self.close()
            raise

    def close(self) -> None:
        if self._open:
            self._open = False
            self._body.close()
