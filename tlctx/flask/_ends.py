"""When a Flask request ends: before its answer goes out, unless that is streamed.

Theory of operation
===================

`finalize_request` makes the final response, after all `after_request` functions. Where that runs no code of the
application, its request may end as soon as Flask is done with it. What does the work then, and what is left if that is
not reached:

    do_teardown_appcontext    after the application's teardown functions, inside the app context: ends the scope
    wsgi_app returns          the middleware ends a scope that was told to close early, and is still open
    wsgi_app raises           the middleware ends the scope with that exception

Which scopes end with an app context is noted on that context, so that a `with app.app_context():` of a teardown
function, or a request inside the request, ends nothing of it. A scope that another middleware has opened is not ended.
"""

from __future__ import annotations

import functools
import sys
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NoReturn

import flask
import flask.ctx
import flask.globals
from flask import Response as FlaskResponse
from flask.signals import got_request_exception
from werkzeug.exceptions import HTTPException

from tlctx import ContextMiddleware, OutsideRequestError, Scope
from tlctx._routes import observers
from tlctx.flask._answers import error_page, is_streamed, note_route, status_of
from tlctx.lowlevel import close_early, report_failed_teardown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from _typeshed.wsgi import StartResponse, WSGIEnvironment
    from flask import Flask

    from tlctx.flask import TLCtx

__all__ = [
    "MERGED",
    "Ends",
    "Middleware",
    "current_app_context",
    "error_in",
    "has_known_arguments",
    "is_flasks_own",
    "leave_all",
]

MERGED = hasattr(flask.ctx.AppContext, "from_environ")
"""Whether request and app contexts are of one class: from Flask 3.2 on."""

_joined: ContextVar[tuple[Scope, ...]] = ContextVar("tlctx.flask.joined", default=())
"""The scopes that the application served here has joined: others have opened them, and end them."""

_NOT_GIVEN: Any = object()

current_app_context: Callable[..., Any] = flask.globals._cv_app.get
"""The app context that is current. Raises LookupError where none is."""


class Middleware(ContextMiddleware):
    """A ContextMiddleware that tells whether it has opened the scope of the request that it serves."""

    def _join(self, scope: Scope, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        token, early = _joined.set((*_joined.get(), scope)), scope.closes_early
        try:
            return super()._join(scope, environ, start_response)
        finally:
            scope.closes_early = early
            _joined.reset(token)


class Ends:
    """Ends the requests of one application, in the scopes of all its contexts."""

    def __init__(self, app: Flask, installed: list[TLCtx]) -> None:
        self._installed = installed
        # Beside each method of Flask's that is replaced, why that is.
        # `request_finished`, the signal that comes with the final response, costs ten times as much.
        app.finalize_request = self._noting_the_end(app)  # type: ignore[method-assign]
        # A teardown function is not reached when another one raises.
        app.do_teardown_appcontext = self._ending(app)  # type: ignore[method-assign]
        if MERGED:  # the teardown of the app context goes on after that of the request has raised, and is not told
            app.do_teardown_request = self._failing(app.do_teardown_request)  # type: ignore[method-assign]
        # No signal is sent for an exception that an error handler of the application answers with a 500.
        app.handle_user_exception = self._watching(app)  # type: ignore[method-assign]
        got_request_exception.connect(self._on_exception, app)

    def _noting_the_end(self, app: Flask) -> Callable[..., Any]:
        finalize: Callable[..., Any] = app.finalize_request

        @functools.wraps(finalize)
        def finalize_request(*args: Any, **kwargs: Any) -> Any:
            if args and isinstance(args[-1], HTTPException):
                args = (*args[:-1], error_page(app, args[-1]))
            if observers:
                note_route()
            response = finalize(*args, **kwargs)
            self._note_end(response, answers_exception=bool(kwargs))  # `from_error_handler`
            return response

        # The same for the usual answer, and in short: with known arguments, Python needs half the time.
        @functools.wraps(finalize)
        def finalize_request_of_3_1(rv: Any, from_error_handler: bool = False) -> Any:
            if from_error_handler or isinstance(rv, HTTPException):
                return finalize_request(rv, from_error_handler=True) if from_error_handler else finalize_request(rv)
            if observers:
                note_route()
            response = finalize(rv)
            usual = type(response) is FlaskResponse and type(response.response) is list
            if usual and not getattr(response, "_on_close", True):
                self._close_early(current_app_context())
            else:
                self._note_end(response, answers_exception=False)
            return response

        return finalize_request_of_3_1 if has_known_arguments(app, "finalize_request") else finalize_request

    def _note_end(self, response: Any, *, answers_exception: bool) -> None:
        """Note which scopes end with the current app context: none if the response is streamed."""
        context = current_app_context()
        if answers_exception:
            context._tlctx_unanswered = False
        if not is_streamed(response):
            self._close_early(context)
            return
        for scope in getattr(context, "_tlctx_ends", None) or ():
            scope.closes_early = False
        context._tlctx_ends = None

    def _close_early(self, context: Any) -> None:
        """Have the current request end early: its scopes, but for those that it has joined, with the app context."""
        ends, joined = [], _joined.get()
        for extension in self._installed:
            try:
                scope = close_early(extension.ctx)
            except OutsideRequestError:  # it is not served through the middleware
                continue
            if not joined or scope not in joined:
                ends.append(scope)
        context._tlctx_ends = ends

    def _ending(self, app: Flask) -> Callable[..., None]:
        teardown: Callable[..., None] = app.do_teardown_appcontext

        @functools.wraps(teardown)
        def do_teardown_appcontext(*args: Any, **kwargs: Any) -> None:
            try:
                teardown(*args, **kwargs)
            except BaseException as raised:
                _end_with_app_context(raised)
                raise
            _end_with_app_context(error_in(args, kwargs))

        # The same for a request that has not failed, and in short for one without a teardown.
        @functools.wraps(teardown)
        def do_teardown_appcontext_of_3_1(exc: Any = _NOT_GIVEN) -> None:
            if exc is not None:
                do_teardown_appcontext(*(() if exc is _NOT_GIVEN else (exc,)))
                return
            try:
                teardown(None)
            except BaseException as raised:
                _end_with_app_context(raised)
                raise
            if sys.exception() is None:
                context = current_app_context(None)
                ends = getattr(context, "_tlctx_ends", None)
                if ends and len(ends) == 1 and ends[0].close_if_idle() and not context._tlctx_opened:
                    return
            _end_with_app_context(None)

        known = has_known_arguments(app, "do_teardown_appcontext")
        return do_teardown_appcontext_of_3_1 if known else do_teardown_appcontext

    def _failing(self, teardown: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(teardown)
        def do_teardown_request(*args: Any, **kwargs: Any) -> None:
            try:
                teardown(*args, **kwargs)
            except BaseException as raised:
                self._fail(raised)
                raise

        return do_teardown_request

    def _watching(self, app: Flask) -> Callable[..., Any]:
        handle = app.handle_user_exception

        @functools.wraps(handle)
        def handle_user_exception(*args: Any, **kwargs: Any) -> Any:
            answer: Any = handle(*args, **kwargs)
            if not isinstance(answer, HTTPException):
                answer = app.make_response(answer)
            if status_of(answer) >= 500:
                self._fail(error_in(args, kwargs))
            return answer

        return handle_user_exception

    def _on_exception(self, app: Flask, exception: BaseException, **_: Any) -> None:
        """Note an exception that nobody has answered; Flask makes an answer now, or passes it on to the server."""
        if observers:
            note_route()
        self._fail(exception)
        context = current_app_context()
        self._close_early(context)
        context._tlctx_unanswered = True

    def _fail(self, error: Any) -> None:
        for extension in self._installed:
            scope = Scope.current(extension.ctx)
            if scope is not None:
                scope.fail(error)


def is_flasks_own(app: Flask, name: str) -> bool:
    """Whether the method of that name is the one that Flask has."""
    return name not in vars(app) and getattr(type(app), name) is getattr(flask.Flask, name)


def has_known_arguments(app: Flask, name: str) -> bool:
    """Whether the method of that name is called with the arguments that Flask gives it up to 3.1."""
    return not MERGED and is_flasks_own(app, name)


def error_in(args: tuple[Any, ...], kwargs: dict[str, Any]) -> BaseException | None:
    """The exception among the arguments, before which newer versions of Flask have the context."""
    return next((given for given in (*args, *kwargs.values()) if isinstance(given, BaseException)), None)


def _end_with_app_context(error: BaseException | None) -> None:
    """End what ends with the current app context, of which `error` is told."""
    try:
        context = current_app_context()
        ends, opened = context._tlctx_ends, context._tlctx_opened
    except (AttributeError, LookupError):  # it was made before TLCtx came, or somebody calls the teardown by hand
        return
    if ends:
        context._tlctx_ends = None
    if opened:
        context._tlctx_opened = None
    try:
        if error is None and sys.exception() is not None:
            ends = None  # the middleware ends it with what is raised, if that is the request's
        if ends and (error is not None or len(ends) > 1 or not ends[0].close_if_idle()):
            _close_all(ends, error, answered=error is None or not context._tlctx_unanswered)
    finally:
        if opened:
            leave_all(opened, error)


def _close_all(scopes: list[Scope], error: BaseException | None, *, answered: bool) -> None:
    """Close them; what a teardown raises goes to the server, unless an exception that nobody answered does."""
    failure: BaseException | None = None
    for scope in scopes:
        try:
            if error is not None or not scope.close_if_idle():
                scope.close(error)
        except BaseException as raised:  # noqa: BLE001  # raised below
            report_failed_teardown(scope, raised)
            error = failure = raised
    if failure is not None and (answered or not isinstance(failure, Exception)):
        _raise(failure)


def leave_all(scopes: list[Scope], error: BaseException | None) -> None:
    """Leave scopes that were entered by hand, whatever the teardown of another raises."""
    failure: BaseException | None = None
    while scopes:
        try:
            scopes.pop(0).leave(error)
        except BaseException as raised:  # noqa: BLE001  # raised below
            error = failure = raised
    if failure is not None:
        _raise(failure)


def _raise(error: BaseException) -> NoReturn:
    try:
        raise error
    finally:
        del error  # the traceback has this frame, so it would be a cycle
