"""ContextMiddleware: the WSGI entry point (PEP 3333). What becomes of the response body is in `_bodies.py`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from tlctx._bodies import wrap_body
from tlctx._core.context import check_context
from tlctx._core.reports import close_after
from tlctx._core.scope import Scope

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from tlctx._core.context import RequestContext

__all__ = ["ContextMiddleware"]

Initialize = Callable[[dict[str, Any]], Mapping[str, Any]]

_ENVIRON_KEY = "tlctx.scopes"
_LABEL = ("REQUEST_METHOD", "PATH_INFO")
"""What names a request in messages: "GET /notes"."""


class ContextMiddleware:
    """Gives each request of a WSGI application a scope of `ctx`, and ends it with the request, whatever happens.

    `initialize(environ)`, if given, runs at the start of the request, inside its scope, and returns the first values, a
    mapping from names. The client receives the same bytes with and without this middleware. Applied twice for one
    request, the inner one joins the outer's scope.

    Under "tlctx.scopes" the environ has the request's scopes, one for each context; their text names the request and
    holds none of its values.

    Raises TypeError if `app` or `initialize` is not callable or `ctx` is no RequestContext.
    """

    def __init__(self, app: WSGIApplication, ctx: RequestContext, initialize: Initialize | None = None) -> None:
        _check_arguments(app, ctx, initialize)
        self.app = app
        self.ctx = ctx
        self.initialize = initialize

    @property
    def initialize(self) -> Initialize | None:
        """What returns the first values of a request."""
        return self._initialize

    @initialize.setter
    def initialize(self, initialize: Initialize | None) -> None:
        self._initialize = initialize
        self._starts_empty = initialize is None and type(self.ctx).__init__ is object.__init__
        # The server's class of file wrappers, once one was seen; here for subclasses that skip our __init__.
        self._file_wrapper: Any = None

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request: what the server calls (PEP 3333)."""
        outer: tuple[Scope, ...] | None = None
        if _ENVIRON_KEY in environ:
            outer = environ[_ENVIRON_KEY]
            current = Scope.current(self.ctx)
            if current is not None and _is_same_request(environ, current, outer):
                return self._join(current, environ, start_response)
        scope = Scope(self.ctx, environ, _LABEL)
        environ[_ENVIRON_KEY] = (scope,) if outer is None else (*outer, scope)
        file_wrapper = environ.get("wsgi.file_wrapper")
        if file_wrapper is not self._file_wrapper:
            file_wrapper = self._watch(environ, file_wrapper)
        app = self.app if self._starts_empty else self._initialize_and_call
        body: Iterable[bytes] = scope.call(wrap_body, close_after, file_wrapper, app, environ, start_response)
        return body

    def _join(self, scope: Scope, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve a request that runs in `scope` already, which another middleware has opened."""
        return self.app(environ, start_response)

    def _watch(self, environ: WSGIEnvironment, file_wrapper: Any) -> Any:
        """The server's file wrapper; where it is a function, one in its place that remembers what it made."""
        if isinstance(file_wrapper, type):
            self._file_wrapper = file_wrapper  # the same for all requests
        elif file_wrapper is not None:
            file_wrapper = environ["wsgi.file_wrapper"] = _FileWrapperFunction(file_wrapper)
        return file_wrapper

    def _initialize_and_call(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Give the scope its first values, then call the app."""
        scope: Scope = environ[_ENVIRON_KEY][-1]
        scope.run_init()
        if self.initialize is not None:
            scope.update(self.initialize(environ))
        return self.app(environ, start_response)


def _check_arguments(app: object, ctx: object, initialize: object) -> None:
    if not callable(app):
        raise TypeError(f"the app must be a WSGI application, a callable, not {type(app).__name__}")
    check_context(ctx)
    if initialize is not None and not callable(initialize):
        raise TypeError(f"initialize must be a function of the environ, not {type(initialize).__name__}")


def _is_same_request(environ: WSGIEnvironment, current: Scope, scopes: tuple[Scope, ...]) -> bool:
    """Whether `environ` comes from the request that is served already, and not from one made inside it."""
    if current not in scopes:
        return False
    outer = current.source
    return environ is outer or (
        environ.get("wsgi.input") is outer.get("wsgi.input")
        and environ.get("REQUEST_METHOD") == outer.get("REQUEST_METHOD")
        and _full_path(environ) == _full_path(outer)
    )


def _full_path(environ: Mapping[str, Any]) -> str:
    return f"{environ.get('SCRIPT_NAME', '')}{environ.get('PATH_INFO', '')}"


class _FileWrapperFunction:
    """Calls uWSGI's or mod_wsgi's file wrapper, a function, and remembers what it made: no type tells that."""

    __slots__ = ("_made", "_wrapper")

    def __init__(self, wrapper: Callable[..., Any]) -> None:
        self._wrapper = wrapper
        self._made: Any = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self._made = self._wrapper(*args, **kwargs)
        return self._made

    def has_made(self, body: object) -> bool:
        made, self._made = self._made, None
        return made is body
