"""Request ids and W3C trace context: read from the headers of a request, and sent on to hosts that you name.

headers = Headers(ctx, trace=True)
app = headers.wsgi(app)                             # or headers.asgi(app): ctx.request_id is there
outbound = headers.outbound(to=["orders.internal"], fields={"tenant": "X-Tenant"})
outbound.install(session)                           # of requests, or a client of httpx
"""

from tlctx.headers._config import Headers
from tlctx.headers._counts import HeaderCounters, counters
from tlctx.headers._outbound import Outbound

__all__ = ["HeaderCounters", "Headers", "Outbound", "counters"]
