"""TLCtx: a context for a Flask application, in its requests, templates, async views, commands and tests."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from flask import g
from flask.globals import app_ctx
from flask.signals import appcontext_pushed, got_request_exception
from flask.testing import FlaskClient

from tlctx import ContextMiddleware, RequestContext, Scope
from tlctx import ctx as default_ctx
from tlctx.lowlevel import propagate

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from flask import Flask, Response

__all__ = ["TLCtx"]


class TLCtx:
    """Gives each request of a Flask application a scope of `ctx`, by default of `tlctx.ctx`.

    `TLCtx(app, ctx)`, or `TLCtx(ctx=ctx)` at module level and `init_app(app)` in an application factory. It wraps
    `app.wsgi_app` in a ContextMiddleware, which gets `initialize`, and

    - puts `ctx` into templates, imported macros included;
    - tells the scope of the exception behind an answer of 500 and up, although Flask handled it, so that a session
      rolls back;
    - opens a scope for `app.app_context()` outside a request: commands, `flask shell`, tests (there is no environ, so
      `initialize` does not run);
    - lets async views, their tasks and `asyncio.to_thread` see the request's scope;
    - has the test client read each answer whole, so that the request has ended, as on a server, when a test goes on
      (`buffered=False` takes a stream bit by bit; close such a response).

    Raises TypeError if `ctx` is no RequestContext, RuntimeError if the app has this `ctx` already.
    """

    def __init__(
        self,
        app: Flask | None = None,
        ctx: RequestContext = default_ctx,
        initialize: Callable[[dict[str, Any]], Mapping[str, Any]] | None = None,
    ) -> None:
        self.ctx = ctx
        self.initialize = initialize
        self._g_name = f"_tlctx_scope_{id(ctx)}"
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Set up `app`; one TLCtx may serve several."""
        installed: list[TLCtx] = app.extensions.setdefault("tlctx", [])
        if any(other.ctx is self.ctx for other in installed):
            raise RuntimeError(f"{app!r} has this context already: call init_app once for each application")
        app.wsgi_app = ContextMiddleware(app.wsgi_app, self.ctx, self.initialize)  # type: ignore[method-assign]
        installed.append(self)  # which also keeps us alive for the signals below
        app.jinja_env.globals["ctx"] = self.ctx
        app.test_client_class = _buffering(app.test_client_class or FlaskClient)
        app.async_to_sync = self._propagating(app.async_to_sync)  # type: ignore[method-assign]
        app.handle_user_exception = self._watching(app)  # type: ignore[assignment,method-assign]
        got_request_exception.connect(self._fail, app)
        appcontext_pushed.connect(self._open_scope, app)
        app.do_teardown_appcontext = self._closing_after(app.do_teardown_appcontext)  # type: ignore[method-assign]

    def _fail(self, app: Flask, exception: BaseException, **_: Any) -> None:
        scope = Scope.current(self.ctx)
        if scope is not None:
            scope.fail(exception)

    def _watching(self, app: Flask) -> Callable[[Exception], Any]:
        handle = app.handle_user_exception

        @functools.wraps(handle)
        def handle_user_exception(error: Exception) -> Response:
            response = app.make_response(handle(error))
            if response.status_code >= 500:
                self._fail(app, error)
            return response

        return handle_user_exception

    def _propagating(self, async_to_sync: Callable[..., Callable[..., Any]]) -> Callable[..., Callable[..., Any]]:
        @functools.wraps(async_to_sync)
        def wrap(func: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Any]:
            call = async_to_sync(func)

            @functools.wraps(func)
            def propagating(*args: Any, **kwargs: Any) -> Any:
                scope = Scope.current(self.ctx)
                if scope is None:
                    return call(*args, **kwargs)
                with propagate(scope):
                    return call(*args, **kwargs)

            return propagating

        return wrap

    def _open_scope(self, app: Flask, **_: Any) -> None:
        if Scope.current(self.ctx) is not None:
            return
        try:
            setattr(g, self._g_name, self.ctx.scope().__enter__())
        except BaseException as error:
            app_ctx.pop(error)  # Flask has pushed it already, and would leave it
            raise

    def _closing_after(self, teardown: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(teardown)
        def do_teardown_appcontext(*args: Any, **kwargs: Any) -> None:
            scope = g.pop(self._g_name, None)
            if scope is None:
                teardown(*args, **kwargs)
                return
            error = next((given for given in (*args, *kwargs.values()) if isinstance(given, BaseException)), None)
            try:
                teardown(*args, **kwargs)
            except BaseException as raised:
                error = raised
                raise
            finally:
                scope.leave(error)

        return do_teardown_appcontext


def _buffering(client_class: type[FlaskClient]) -> type[FlaskClient]:
    class BufferingClient(client_class):  # type: ignore[misc,valid-type]
        def open(self, *args: Any, buffered: bool = True, **kwargs: Any) -> Any:
            return super().open(*args, buffered=buffered, **kwargs)

    return BufferingClient
