"""The Starlette application of the program of `ways.py`, for an ASGI server: the same as the one of Flask."""

from __future__ import annotations

from typing import Any

from servers.ways_context import side
from servers.ways_looks import look_shared, own_work
from servers.ways_tally import tally
from servers.ways_use import async_stream, stream, use_loop, use_threads
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route


def start_afresh(request: Any) -> Response:
    return Response(status_code=204)


async def report(request: Any) -> Response:
    return JSONResponse(tally.report())


def sync_endpoint(request: Any) -> Response:
    user = request.path_params["user"]
    use_threads("endpoint in a thread", user)
    return StreamingResponse(stream(user, own_work()))


async def endpoint(request: Any) -> Response:
    user = request.path_params["user"]
    await use_loop(user)
    after = BackgroundTask(look_shared, "background task", user, own_work())
    return StreamingResponse(async_stream(user, own_work()), background=after)


ROUTES = [
    Route("/start_afresh", start_afresh), Route("/report", report),
    Route("/sync/{user}", sync_endpoint), Route("/async/{user}", endpoint),
]  # fmt: skip
application = side.serve_asgi(Starlette(routes=ROUTES))
