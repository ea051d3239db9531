"""ContextMiddleware: the WSGI entry point; no other module touches `start_response` or `close()` (PEP 3333).

Theory of operation
===================

A request's application code runs in pieces: the call of the app, then, in the server's own time and perhaps on other
threads, each step of the body and its `close()`. The scope is bound around each piece and to nothing in between.
How the scope ends depends on what the app returned:

    list, tuple, str, ...    no code is left to run: the scope ends first, and the body is returned as it is
    wsgi.file_wrapper        returned as it is, so that the server's `sendfile` works; its `close` ends the scope
    any other iterable       wrapped in a `_Body`, which binds the scope around each step; its `close` ends the scope
    an exception             the scope ends with it, and it goes on to the server

A server that drops a body without closing it (gunicorn does when its access log raises, werkzeug when the client is
gone) leaves the end to the collector: the finalizers here close what is left, and report it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from types import GeneratorType, MethodType
from typing import TYPE_CHECKING, Any, NoReturn, cast
from weakref import ref

from tlctx._core.context import RequestContext
from tlctx._core.implementation import ScopedIterator
from tlctx._core.reports import report_dropped_body, report_failed_teardown
from tlctx._core.scope import Scope

if TYPE_CHECKING:
    from collections.abc import Iterable, Sized

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = ["ContextMiddleware"]

Initialize = Callable[[dict[str, Any]], Mapping[str, Any]]

_ENVIRON_KEY = "tlctx.scopes"
# Iterating one of these runs no code of the application. For str and None the server has an answer of its own.
_INERT = (list, tuple, bytes, str, type(None))


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

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request: what the server calls (PEP 3333)."""
        outer: tuple[Scope, ...] = ()
        if _ENVIRON_KEY in environ:
            outer = environ[_ENVIRON_KEY]
            if _is_same_request(environ, Scope.current(self.ctx), outer):
                return self.app(environ, start_response)
        try:
            label = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        except KeyError:
            label = environ.get("REQUEST_METHOD", ""), ""  # PEP 3333: an empty path may be absent
        scope = Scope(self.ctx, environ, label)
        environ[_ENVIRON_KEY] = (*outer, scope) if outer else (scope,)
        file_wrapper = environ.get("wsgi.file_wrapper")
        if type(file_wrapper) is not type and callable(file_wrapper) and not isinstance(file_wrapper, type):
            file_wrapper = environ["wsgi.file_wrapper"] = _FileWrapperFunction(file_wrapper)
        app = self.app if self._starts_empty else self._initialize_and_call
        body: Iterable[bytes] = scope.call(_wrap_body, _close_after, file_wrapper, app, environ, start_response)
        return body

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
    if not isinstance(ctx, RequestContext):
        hint = ": give an instance, not the class" if isinstance(ctx, type) else ""
        raise TypeError(f"the context must be a RequestContext, not {type(ctx).__name__}{hint}")
    if initialize is not None and not callable(initialize):
        raise TypeError(f"initialize must be a function of the environ, not {type(initialize).__name__}")


def _is_same_request(environ: WSGIEnvironment, current: Scope | None, scopes: tuple[Scope, ...]) -> bool:
    """Whether `environ` comes from the request that is served already, and not from one made inside it."""
    if current is None or current not in scopes:
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


def _wrap_body(body: Iterable[bytes], scope: Scope, file_wrapper: Any) -> Iterable[bytes]:
    """The body to return to the server in place of `body`; it or this call ends the scope."""
    try:
        if type(body) is GeneratorType:
            return _Body(body, scope)
        if type(body) in _INERT or not (hasattr(body, "__iter__") or hasattr(body, "__getitem__")):
            _close(scope)
            return body
        if isinstance(file_wrapper, type):
            if isinstance(body, file_wrapper):
                return _hook_file_close(body, scope)
        elif file_wrapper is not None and file_wrapper.has_made(body):
            _close(scope)  # the server wants back the very object, and there is nothing on it to hook
            return body
        return (_SizedBody if hasattr(body, "__len__") else _Body)(body, scope)
    except BaseException:
        del body  # so that no traceback shows what is in it
        raise


def _hook_file_close(body: Iterable[bytes], scope: Scope) -> Iterable[bytes]:
    closer = _FileCloser(body, scope)
    try:
        body.close = closer  # type: ignore[attr-defined]
    except (AttributeError, TypeError):  # it takes no attributes, so nobody would tell us of its end
        _close(scope)
    return body


class _Body(ScopedIterator):
    """An iterable body, with the scope bound around whatever its code does and ended by `close()`."""

    __slots__ = ()

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("a request's body can't be copied or pickled: it is closed only once")

    def _on_step_error(self, error: BaseException) -> None:
        """Close the body and the scope before the error goes on: Twisted, and uWSGI on SystemExit, call no `close()`."""
        self._scope.fail(error)
        body, self._iterable = self._iterable, ()
        _close_abandoned(self._scope, getattr(body, "close", None))

    def _on_close(self) -> None:
        _close(self._scope)

    def _on_close_error(self, error: BaseException) -> None:
        _close_after(error, self._scope)

    def _on_drop(self) -> None:
        _close_dropped(self._scope, getattr(self._iterable, "close", None))


class _SizedBody(_Body):
    """A body whose length servers may ask for: with one block they add a Content-Length."""

    __slots__ = ()

    def __len__(self) -> int:
        scope = self._scope
        if scope.ended:
            return len(cast("Sized", self._iterable))
        displaced = scope.bind()
        try:
            return len(cast("Sized", self._iterable))  # len() may legitimately raise; don't record a failure
        finally:
            scope.unbind(displaced)


class _FileCloser:
    """Stands for `close` on the server's file wrapper: closes the file, then ends the scope."""

    __slots__ = ("_body", "_function", "_scope")

    def __init__(self, body: Any, scope: Scope) -> None:
        close: Any = getattr(body, "close", None)
        # The body will refer to us; a strong reference back would keep it from going when it is dropped.
        own = type(close) is MethodType and close.__self__ is body
        self._function = close.__func__ if own else close
        self._body = ref(body) if own else None
        self._scope = scope

    def __call__(self) -> None:
        _close_with_body(self._scope, self._close())

    def _close(self) -> Callable[[], Any] | None:
        if self._body is None:
            return cast("Callable[[], Any] | None", self._function)
        body = self._body()
        return None if body is None else MethodType(self._function, body)

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("a request's body can't be copied or pickled: it is closed only once")

    def __del__(self) -> None:
        if not self._scope.ended:
            _close_dropped(self._scope, self._close())


def _close_with_body(scope: Scope, close: Callable[[], object] | None) -> None:
    """Run the body's own `close` in the scope, if it has one, and end the scope."""
    if close is None:
        close = _nothing
    if scope.ended:
        close()
    else:
        scope.call(_close_after_body, _close_after, None, close)


def _nothing() -> None: ...


def _close_after_body(_: object, scope: Scope, __: None) -> None:
    _close(scope)


def _close(scope: Scope, error: BaseException | None = None) -> None:
    """End the scope; what its teardown raises is reported and goes on to the server."""
    try:
        scope.close(error)
    except BaseException as raised:
        report_failed_teardown(scope, raised)
        raise


def _close_after(error: BaseException, scope: Scope) -> None:
    """End a scope whose code raised `error`, which goes on to the server whatever the teardown does."""
    with suppress(Exception):
        _close(scope, error)


def _close_dropped(scope: Scope, close: Any) -> None:
    """End the scope of a body that the collector found unclosed, on whatever thread that is."""
    try:
        report_dropped_body(scope)
    finally:  # also where logging is gone already, as the interpreter ends
        _close_abandoned(scope, close)


def _close_abandoned(scope: Scope, close: Any) -> None:
    """End the scope of a body whose server did not call its `close()`, or will not; what fails is reported."""
    if callable(close):
        scope.callback(close)  # so it runs first, and what it raises is reported with the rest
    with suppress(BaseException):
        _close(scope)
