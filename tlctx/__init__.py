"""Request-scoped context for WSGI applications, Flask first.

    from tlctx import ContextMiddleware, ctx

    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [greeting().encode()]

    def greeting():
        return f"Hello, {ctx.user}!"        # nobody handed it the request

    app = ContextMiddleware(app, ctx, lambda environ: {"user": environ.get("REMOTE_USER", "stranger")})

`ctx.user` is fresh for every request and gone after it, on every thread. Subclass RequestContext to declare fields.
"""

from tlctx._core.cleanups import Cleanups, cleanups
from tlctx._core.context import AnyContext, RequestContext, per_request
from tlctx._core.errors import OutsideRequestError, RequestEndedError
from tlctx._core.local import IMPLEMENTATION, local
from tlctx._core.scope import Scope
from tlctx.wsgi import ContextMiddleware

__all__ = [
    "IMPLEMENTATION",
    "Cleanups",
    "ContextMiddleware",
    "OutsideRequestError",
    "RequestContext",
    "RequestEndedError",
    "Scope",
    "cleanups",
    "ctx",
    "local",
    "per_request",
]

ctx = AnyContext()
"""A context to use where there is nothing to declare: `ctx.user = ...`."""
