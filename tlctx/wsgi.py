"""ContextMiddleware: the WSGI way in, and the only room that knows `start_response` and `close()` (PEP 3333).

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
from types import GeneratorType
from typing import TYPE_CHECKING, Any, NoReturn, cast
from weakref import WeakMethod

from tlctx._core.cleanups import dropped_body, failed_teardown
from tlctx._core.context import RequestContext
from tlctx._core.scope import Scope

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

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

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request: what the server calls (PEP 3333)."""
        scopes = environ.get(_ENVIRON_KEY, ())
        if scopes and _is_same_request(environ, Scope.of(self.ctx), scopes):
            return self.app(environ, start_response)
        scope = Scope(self.ctx, environ)
        environ[_ENVIRON_KEY] = (*scopes, scope)
        file_wrapper = _watched_file_wrapper(environ)
        displaced = scope.bind()
        try:
            scope.begin()
            if self.initialize is not None:
                scope.assign(self.initialize(environ))
            return _with_end(self.app(environ, start_response), scope, file_wrapper)
        except BaseException as error:
            _close_after(error, scope)
            raise
        finally:
            scope.unbind(displaced)


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
    outer = current.environ
    return environ is outer or (
        environ.get("wsgi.input") is outer.get("wsgi.input")
        and environ.get("REQUEST_METHOD") == outer.get("REQUEST_METHOD")
        and _full_path(environ) == _full_path(outer)
    )


def _full_path(environ: Mapping[str, Any]) -> str:
    return f"{environ.get('SCRIPT_NAME', '')}{environ.get('PATH_INFO', '')}"


def _watched_file_wrapper(environ: WSGIEnvironment) -> Any:
    """The server's file wrapper; where it is a function, one in its place that remembers what it made."""
    wrapper = environ.get("wsgi.file_wrapper")
    if wrapper is not None and not isinstance(wrapper, type):
        wrapper = environ["wsgi.file_wrapper"] = _FileWrapperFunction(wrapper)
    return wrapper


class _FileWrapperFunction:
    """Calls uWSGI's or mod_wsgi's file wrapper, whose result is of no type that could be asked for."""

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


def _with_end(body: Iterable[bytes], scope: Scope, file_wrapper: Any) -> Iterable[bytes]:
    """The body to return to the server in place of `body`; it or this call ends the scope."""
    try:
        if type(body) in _INERT or not (hasattr(body, "__iter__") or hasattr(body, "__getitem__")):
            _close(scope)
            return body
        if isinstance(file_wrapper, type):
            if isinstance(body, file_wrapper):
                return _with_file_end(body, scope)
        elif file_wrapper is not None and file_wrapper.has_made(body):
            _close(scope)  # the server wants back the very object, and there is nothing on it to hook
            return body
        return (_SizedBody if hasattr(body, "__len__") else _Body)(body, scope)
    except BaseException:
        del body  # so that no traceback shows what is in it
        raise


def _with_file_end(body: Any, scope: Scope) -> Iterable[bytes]:
    end = _FileEnd(body, scope)
    try:
        body.close = end
    except (AttributeError, TypeError):  # it takes no attributes, so nobody would tell us of its end
        _close(scope)
    return cast("Iterable[bytes]", body)


class _Body:
    """An iterable body, with the scope bound around whatever its code does and ended by `close()`."""

    __slots__ = ("__weakref__", "_iterable", "_iterator", "_scope")

    def __init__(self, iterable: Iterable[bytes], scope: Scope) -> None:
        self._iterable = iterable
        self._iterator: Iterator[bytes] | None = None
        self._scope = scope

    def __iter__(self) -> Iterator[bytes]:
        body = self._iterable
        self._iterator = body if type(body) is GeneratorType else self._in_scope(iter, body)
        return self

    def __next__(self) -> bytes:
        if self._iterator is None:
            iter(self)
        return cast("bytes", self._in_scope(next, self._iterator))

    def close(self) -> None:
        _end(self._scope, getattr(self._iterable, "close", None))

    def __del__(self) -> None:
        if not self._scope.ended:
            _end_dropped(self._scope, getattr(self._iterable, "close", None))

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("a request's body can't be copied or pickled: it is closed only once")

    def _in_scope(self, function: Callable[[Any], Any], argument: Any, *, failing: bool = True) -> Any:
        scope = self._scope
        if scope.ended:
            return function(argument)
        displaced = scope.bind()
        try:
            return function(argument)
        except StopIteration:
            raise
        except BaseException as error:
            if failing:  # a length may be unknown; a server takes that for an answer
                scope.fail(error)
                if not isinstance(error, Exception):
                    self._end_early()
            raise
        finally:
            scope.unbind(displaced)

    def _end_early(self) -> None:
        """End the scope before SystemExit and its like go on: uWSGI's process exits then, and calls no `close()`."""
        body, self._iterable = self._iterable, ()
        _end_unasked(self._scope, getattr(body, "close", None))


class _SizedBody(_Body):
    """A body whose length servers may ask for: with one block they add a Content-Length."""

    __slots__ = ()

    def __len__(self) -> int:
        return cast("int", self._in_scope(len, self._iterable, failing=False))


class _FileEnd:
    """Stands for `close` on the server's file wrapper: closes the file, then ends the scope."""

    __slots__ = ("_close", "_scope")

    def __init__(self, body: Any, scope: Scope) -> None:
        close: Any = getattr(body, "close", None)
        # The body will refer to us; a strong reference back would keep it from going when it is dropped.
        own = getattr(close, "__self__", None) is body
        self._close: Callable[[], Any] = WeakMethod(close) if own else lambda: close
        self._scope = scope

    def __call__(self) -> None:
        _end(self._scope, self._close())

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("a request's body can't be copied or pickled: it is closed only once")

    def __del__(self) -> None:
        if not self._scope.ended:
            _end_dropped(self._scope, self._close())


def _end(scope: Scope, close: Callable[[], object] | None) -> None:
    """Run the body's own `close` in the scope, if it has one, and end the scope."""
    if scope.ended:
        if close is not None:
            close()
        return
    displaced = scope.bind()
    try:
        if close is not None:
            close()
        _close(scope)
    except BaseException as error:
        _close_after(error, scope)
        raise
    finally:
        scope.unbind(displaced)


def _close(scope: Scope, error: BaseException | None = None) -> None:
    """End the scope; what its teardown raises is reported and goes on to the server."""
    try:
        scope.close(error)
    except BaseException as raised:
        failed_teardown(scope, raised)
        raise


def _close_after(error: BaseException, scope: Scope) -> None:
    """End a scope whose code raised `error`, which goes on to the server whatever the teardown does."""
    with suppress(Exception):
        _close(scope, error)


def _end_dropped(scope: Scope, close: Any) -> None:
    """End the scope of a body that the collector found unclosed, on whatever thread that is."""
    dropped_body(scope)
    _end_unasked(scope, close)


def _end_unasked(scope: Scope, close: Any) -> None:
    """End the scope of a body whose server did not call its `close()`, or will not; what fails is reported."""
    if callable(close):
        scope.callback(close)  # so it runs first, and what it raises is reported with the rest
    with suppress(BaseException):
        _close(scope)
