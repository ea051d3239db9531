"""An application that is slow, streams, hangs and fails when it is told to, with its live view under /requests."""

from __future__ import annotations

import threading
from collections import defaultdict
from typing import TYPE_CHECKING

from flask import Flask, Response
from support.inspecting import TOKEN

from tlctx import RequestContext
from tlctx.flask import TLCtx
from tlctx.inspector import Inspector

if TYPE_CHECKING:
    from collections.abc import Iterator

gates: defaultdict[str, threading.Event] = defaultdict(threading.Event)


class Ctx(RequestContext):
    user: str = "ann"
    secret: str = "never shown"


ctx = Ctx()
app = Flask(__name__)
TLCtx(app, ctx)
inspector = Inspector(ctx, token=TOKEN, show=["user"])
app.wsgi_app = inspector.mount(app.wsgi_app, "/requests")  # type: ignore[method-assign, assignment]


@app.get("/stuck/<path:gate>")
def stuck(gate: str) -> str:
    gates[gate].wait(60)  # where it hangs
    return "free again"


@app.get("/open/<path:gate>")
def open_gate(gate: str) -> str:
    gates[gate].set()
    return "open"


@app.get("/stream")
def stream() -> Response:
    def chunks() -> Iterator[bytes]:
        while not gates["stream"].is_set():
            yield bytes(100_000)

    return Response(chunks())


@app.get("/fail")
def fail() -> str:
    raise LookupError("a message that nobody may read")
