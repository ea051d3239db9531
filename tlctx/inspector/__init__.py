"""A live view of the requests in flight: an object to ask, JSON, and a page, off unless mounted.

inspector = Inspector(ctx, token=os.environ["INSPECTOR_TOKEN"])
app.wsgi_app = inspector.mount(app.wsgi_app, "/requests")       # Flask, after TLCtx(app, ctx)
"""

from tlctx.inspector._inspector import Inspector
from tlctx.inspector._model import BOUNDS, FinishedRequest, Frame, OpenRequest, Process, RouteTimes, Thread, View

__all__ = ["BOUNDS", "FinishedRequest", "Frame", "Inspector", "OpenRequest", "Process", "RouteTimes", "Thread", "View"]
