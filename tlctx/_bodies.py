"""Response bodies (PEP 3333): what goes to the server, and how the request's scope ends with it.

Theory of operation
===================

A request's application code runs in pieces: the call of the app, then, in the server's own time and perhaps on other
threads, each step of the body and its `close()`. The scope is bound around each piece and to nothing in between.
How the scope ends depends on what the app returned:

    list, tuple, str, ...    no code is left to run: the scope ends first, and the body is returned as it is
    wsgi.file_wrapper        returned as it is, so that the server's `sendfile` works; its `close` ends the scope
    any other iterable       wrapped in a `_Body`, which binds the scope around each step; its `close` ends the scope
    an exception             the scope ends with it, and it goes on to the server

Where the request's code has called `close_early`, every body is treated as a list is.

A server that drops a body without closing it (gunicorn does when its access log raises, werkzeug when the client is
gone) leaves the end to the collector: the finalizers here close what is left, and report it unless the body was read to
its end.
"""

from __future__ import annotations

from types import GeneratorType, MethodType
from typing import TYPE_CHECKING, Any, NoReturn, cast
from weakref import ref

from tlctx._core.implementation import ScopedIterator
from tlctx._core.reports import close_after, close_reporting, report_dropped_body
from tlctx._core.teardown import unfinished

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sized

    from tlctx._core.scope import Scope

__all__ = ["wrap_body"]

# Iterating one of these runs no code of the application. For str and None the server has an answer of its own.
_INERT = (list, tuple, bytes, str, type(None))


def wrap_body(body: Iterable[bytes], scope: Scope, file_wrapper: Any) -> Iterable[bytes]:
    """The body to return to the server in place of `body`; it or this call ends the scope."""
    try:
        if scope.closes_early:
            _close_with_one_piece(scope)
            return body
        if type(body) is GeneratorType:
            return _Body(body, scope)
        if type(body) in _INERT or not (hasattr(body, "__iter__") or hasattr(body, "__getitem__")):
            _close_with_one_piece(scope)
            return body
        if isinstance(file_wrapper, type):
            if isinstance(body, file_wrapper):
                return _hook_file_close(body, scope)
        elif file_wrapper is not None and file_wrapper.has_made(body):
            _close_with_one_piece(scope)  # the server wants back the very object, and there is nothing on it to hook
            return body
        return (_SizedBody if hasattr(body, "__len__") else _Body)(body, scope)
    except BaseException:
        del body  # so that no traceback shows what is in it
        raise


def _close_with_one_piece(scope: Scope) -> None:
    """End the scope of a body that goes to the server as it is."""
    scope.chunks = 1
    close_reporting(scope)


def _hook_file_close(body: Iterable[bytes], scope: Scope) -> Iterable[bytes]:
    scope.chunks = 1
    closer = _FileCloser(body, scope)
    try:
        body.close = closer  # type: ignore[attr-defined]
    except (AttributeError, TypeError):  # it takes no attributes, so nobody would tell us of its end
        close_reporting(scope)
    return body


class _Body(ScopedIterator):
    """An iterable body, with the scope bound around whatever its code does and ended by `close()`."""

    __slots__ = ()

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("a request's body can't be copied or pickled: it is closed only once")

    def _on_step_error(self, error: BaseException) -> None:
        """Close body and scope before the error goes on: Twisted, and uWSGI on SystemExit, call no `close()`."""
        if self._scope.ended:  # a step inside this one has closed them
            return
        self._scope.fail(error)
        if type(self._iterable) is not _ClosedBody:
            self._iterable = _ClosedBody(self._iterable)
        _close_abandoned(self._scope, self._iterable.close_body)

    def _on_close(self) -> None:
        close_reporting(self._scope)

    def _on_close_error(self, error: BaseException) -> None:
        close_after(error, self._scope)

    def _on_drop(self) -> None:
        body: Any = self._iterable
        close = body.close_body if type(body) is _ClosedBody else getattr(body, "close", None)
        if self._exhausted:
            _close_abandoned(self._scope, close)
        else:
            _close_dropped(self._scope, close)


class _ClosedBody:
    """A body that was closed already, for a server that goes on with it: it has no `close()` to be called again."""

    __slots__ = ("_body", "_calls")

    def __init__(self, body: Any) -> None:
        self._body = body
        self._calls = iter((getattr(body, "close", None),))

    def close_body(self) -> None:
        """Close the body, unless that has begun before."""
        _ = [close() for close in self._calls if callable(close)]

    def __iter__(self) -> Any:
        return iter(self._body)

    def __len__(self) -> int:
        return len(self._body)


class _SizedBody(_Body):
    """A body whose length servers may ask for: with one block they add a Content-Length."""

    __slots__ = ()

    def __len__(self) -> int:
        scope = self._scope
        if scope.ended:
            return len(cast("Sized", self._iterable))
        length: int = scope.run(len, cast("Sized", self._iterable))  # which may raise: it is no failure of the request
        return length


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
        scope = getattr(self, "_scope", None)  # which a half-made one, whose __init__ did not end, does not have
        if scope is None or scope.ended:
            return
        try:
            self._on_drop()
        finally:
            if not scope.ended:  # no stack is left, say
                unfinished[scope.serial] = scope, self._on_drop

    def _on_drop(self) -> None:
        _close_dropped(self._scope, self._close())


def _close_with_body(scope: Scope, close: Callable[[], object] | None) -> None:
    """Run the body's own `close` in the scope, if it has one, and end the scope."""
    if close is None:
        close = _nothing
    if scope.ended:
        close()
    else:
        scope.call(_close_after_body, close_after, None, close)


def _nothing() -> None: ...


def _close_after_body(_: object, scope: Scope, __: None) -> None:
    close_reporting(scope)


def _close_dropped(scope: Scope, close: Any) -> None:
    """End the scope of a body that the collector found unclosed, on whatever thread that is, and report it."""
    try:
        report_dropped_body(scope)
    finally:  # also where logging is gone already, as the interpreter ends
        _close_abandoned(scope, close)


def _close_abandoned(scope: Scope, close: Any) -> None:
    """End the scope of a body whose server did not call its `close()`, or will not; what fails is reported."""
    if callable(close):
        scope.callback(close)  # so it runs first, and what it raises is reported with the rest
    try:
        close_reporting(scope)
    except BaseException:  # noqa: BLE001  # it was reported
        return
