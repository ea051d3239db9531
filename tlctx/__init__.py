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

from tlctx._core.context import AnyContext, RequestContext
from tlctx._core.errors import OutsideRequestError, RequestEndedError
from tlctx._core.implementation import IMPLEMENTATION, local
from tlctx._core.per_request import per_request
from tlctx._core.reports import Counters, counters
from tlctx._core.scope import Scope
from tlctx._frameworks import explain_flask as _  # noqa: F401  # registers itself
from tlctx.wsgi import ContextMiddleware

__all__ = [
    "IMPLEMENTATION",
    "ContextMiddleware",
    "Counters",
    "OutsideRequestError",
    "RequestContext",
    "RequestEndedError",
    "Scope",
    "counters",
    "ctx",
    "local",
    "per_request",
]

ctx = AnyContext()
"""A context to use where there is nothing to declare: `ctx.user = ...`."""
