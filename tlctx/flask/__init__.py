"""TLCtx: a context for a Flask application, in its requests, templates, async views, commands and tests."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from tlctx import RequestContext, Scope
from tlctx import ctx as default_ctx
from tlctx.flask._contexts import replace_contexts
from tlctx.flask._ends import Ends, Middleware
from tlctx.lowlevel import propagate

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from flask import Flask

__all__ = ["TLCtx"]


class TLCtx:
    """Gives each request of a Flask application a scope of `ctx`, by default of `tlctx.ctx`.

    `TLCtx(app, ctx)`, or `TLCtx(ctx=ctx)` at module level and `init_app(app)` in an application factory. It wraps
    `app.wsgi_app` in a ContextMiddleware, which gets `initialize`, and

    - ends the request before its answer goes out, inside the app context and after its teardown functions, so that a
      commit that fails is a 500; a streamed answer keeps its scope to its last byte;
    - tells the scope of the exception behind an answer of 500 and up, although Flask handled it, so that a session
      rolls back;
    - opens a scope for `app.app_context()` outside a request: commands, `flask shell`, tests; and for
      `app.test_request_context()`, where `initialize` runs too;
    - gives a request's context that Flask pushes again a scope of its own, with a copy of the assigned values: in a
      `with` block of the test client, a function of `copy_current_request_context`, the console of the debugger;
    - lets async views, their tasks and `asyncio.to_thread` see the request's scope;
    - puts `ctx` into templates, imported macros included, and into `flask shell`, under `name`.

    Raises TypeError if `ctx` is no RequestContext, RuntimeError if the app has this `ctx`, or this `name`, already.
    """

    def __init__(
        self,
        app: Flask | None = None,
        ctx: RequestContext = default_ctx,
        initialize: Callable[[dict[str, Any]], Mapping[str, Any]] | None = None,
        name: str = "ctx",
    ) -> None:
        if isinstance(app, RequestContext):
            raise TypeError("the application comes first: TLCtx(app, ctx), or TLCtx(ctx=ctx) and init_app(app)")
        self.ctx = ctx
        self.initialize = initialize
        self.name = name
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Set up `app`; one TLCtx may serve several."""
        installed: list[TLCtx] = app.extensions.get("tlctx", [])
        self._check_is_new(app, installed)
        # Beside each method of Flask's that is replaced, why that is.
        # Flask's own way to add a middleware.
        app.wsgi_app = Middleware(app.wsgi_app, self.ctx, self.initialize)  # type: ignore[method-assign]
        # There is no signal around an async view.
        app.async_to_sync = self._propagating(app.async_to_sync)  # type: ignore[method-assign]
        self._add_to_templates(app)
        app.shell_context_processors.append(lambda: {self.name: self.ctx})
        if not installed:
            app.extensions["tlctx"] = installed
            replace_contexts(app)
            Ends(app, installed)
        installed.append(self)

    def _check_is_new(self, app: Flask, installed: list[TLCtx]) -> None:
        if any(other.ctx is self.ctx for other in installed):
            raise RuntimeError(f"{app!r} has this context already: call init_app once for each application")
        if any(other.name == self.name for other in installed):
            raise RuntimeError(
                f"{app!r} has a context named {self.name!r} already: give this one another name for its templates, "
                f"TLCtx(app, ctx, name=...)"
            )

    def _add_to_templates(self, app: Flask) -> None:
        """Make `ctx` a global of the templates; what a context processor gives is not seen by imported macros."""
        if "jinja_env" in vars(app):
            app.jinja_env.globals[self.name] = self.ctx
            return
        create = app.create_jinja_environment

        @functools.wraps(create)
        def create_jinja_environment() -> Any:
            environment = create()
            environment.globals[self.name] = self.ctx
            return environment

        # To add a global to `app.jinja_env` would make it, and what the application sets later were without effect.
        app.create_jinja_environment = create_jinja_environment  # type: ignore[method-assign]

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
