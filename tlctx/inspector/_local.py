"""What this process serves."""

from __future__ import annotations

import os
import socket
from itertools import islice
from time import monotonic, time
from typing import TYPE_CHECKING, Any

from tlctx import counters
from tlctx._routes import route_of
from tlctx.inspector import _lowlevel
from tlctx.inspector._history import thread_of
from tlctx.inspector._model import OpenRequest, Process, View
from tlctx.inspector._source import method_and_path, readable, trace_id
from tlctx.inspector._texts import shown
from tlctx.inspector._values import names_and_values

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from tlctx.inspector._recorder import Recorder
    from tlctx.lowlevel import Scope

__all__ = ["MOST_OPEN", "describe", "look", "process_id", "stack"]

MOST_OPEN = 500
"""Open requests that are listed."""


def process_id() -> str:
    """What names this process among those of all machines."""
    return f"{shown(socket.gethostname(), 100)}:{os.getpid()}"


def look(recorder: Recorder, show: Collection[str]) -> View:
    """What this process serves now, and has served."""
    recorder.catch_up()
    process, history = process_id(), recorder.history
    entries = [(scope, source) for found, source in recorder.open.copy().values() if (scope := found()) is not None]
    requests = list(islice(describe(process, entries, show), MOST_OPEN))
    return View(
        taken=time(),
        processes=[_process(process, recorder, len(entries))],
        open=requests,
        recent=history.recent(process),
        slowest=history.slowest(process),
        failed=history.failed(process),
        routes=history.routes(),
        truncated=len(entries) - len(requests),
    )


def _process(process: str, recorder: Recorder, still_open: int) -> Process:
    host, _, pid = process.rpartition(":")
    counts, history = counters(), recorder.history
    return Process(
        id=process,
        host=host,
        pid=int(pid),
        seen=0.0,
        reached=True,
        open=still_open,
        begun=history.finished + still_open,
        failed=history.failures,
        dropped_bodies=counts.dropped_bodies,
        failed_teardowns=counts.failed_teardowns,
    )


def describe(process: str, entries: Iterable[tuple[Scope, Any]], show: Collection[str]) -> Iterable[OpenRequest]:
    """Each scope, and its source, as a request."""
    offset = time() - monotonic()
    for scope, source in entries:
        method, path = method_and_path(source)
        route = route_of(source)
        fields, values = names_and_values(scope, show)
        yield OpenRequest(
            id=f"{process}:{scope.serial}",
            process=process,
            serial=scope.serial,
            method=None if method is None else shown(method, 40),
            path=None if path is None else readable(path),
            label=scope.label or str(scope),
            route=None if route is None else shown(route, 200),
            thread=thread_of(scope.thread),
            began=scope.started + offset,
            age=scope.age,
            state="running" if _lowlevel.is_running(scope) else "waiting",
            chunks=getattr(scope, "chunks", 0),
            fields=fields,
            values=values,
            trace=trace_id(source),
        )


def stack(recorder: Recorder, serial: int) -> list[dict[str, Any]] | None:
    """Where the code of the request stands, outermost first; None if it is over."""
    entry = recorder.open.get(serial)
    scope = None if entry is None else entry[0]()
    if scope is None or scope.ended:
        return None
    return [
        {
            "file": shown(frame.filename),
            "line": frame.lineno or 0,
            "function": shown(frame.name, 200),
            "code": shown(frame.line or "", 300),
        }
        for frame in _lowlevel.stack_of(scope)[-100:]
    ]
