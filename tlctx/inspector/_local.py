"""What this process serves."""

from __future__ import annotations

import os
import socket
from time import monotonic
from typing import TYPE_CHECKING, Any

from tlctx import counters
from tlctx._routes import route_of
from tlctx.inspector._clock import unix_time
from tlctx.inspector._history import thread_of
from tlctx.inspector._model import Frame, OpenRequest, Process, View
from tlctx.inspector._source import method_of, path_of, trace_id, words_of
from tlctx.inspector._texts import shown
from tlctx.inspector._values import names_and_values
from tlctx.lowlevel import is_running, open_scopes, stack_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from tlctx.inspector._recorder import Recorder
    from tlctx.lowlevel import Scope

__all__ = ["MOST_FRAMES", "MOST_OPEN", "describe", "host_and_pid", "look", "open_requests", "process_id", "stack"]

MOST_OPEN = 500
"""Open requests that are listed."""
MOST_FRAMES = 200


def host_and_pid() -> tuple[str, int]:
    """What names this process among those of all machines."""
    return shown(socket.gethostname(), 100), os.getpid()


def process_id() -> str:
    """The same as one text."""
    host, pid = host_and_pid()
    return f"{host}:{pid}"


def look(recorder: Recorder, show: Collection[str], *, history: bool = True) -> View:
    """What this process serves now, and with `history` what it has served."""
    recorder.catch_up()
    process, past = process_id(), recorder.history
    entries = [(scope, source) for found, source in recorder.open.copy().values() if (scope := found()) is not None]
    requests = list(describe(process, entries[:MOST_OPEN], show))
    view = View(unix_time(monotonic()), processes=[_process(recorder, len(entries))], open=requests)
    view.truncated = len(entries) - len(requests)
    if history:
        view.recent, view.slowest, view.failed = past.recent(process), past.slowest(process), past.failed(process)
        view.routes = past.routes()
    return view


def _process(recorder: Recorder, still_open: int) -> Process:
    host, pid = host_and_pid()
    counts, history = counters(), recorder.history
    return Process(
        id=f"{host}:{pid}",
        host=host,
        pid=pid,
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
    now = monotonic()
    for scope, source in entries:
        words, route = words_of(source), route_of(source)
        fields, values = names_and_values(scope, show)
        yield OpenRequest(
            id=f"{process}:{scope.serial}",
            process=process,
            serial=scope.serial,
            method=method_of(words),
            path=path_of(words),
            label=scope.label or str(scope),
            route=None if route is None else shown(route, 200),
            thread=thread_of(scope.thread),
            began=unix_time(scope.started),
            age=now - scope.started,
            state="running" if is_running(scope) else "waiting",
            chunks=scope.chunks,
            fields=fields,
            values=values,
            trace=trace_id(source),
        )


def open_requests(show: Collection[str] = ()) -> list[OpenRequest]:
    """The open requests of this process, of all contexts, the oldest first. It needs no Inspector.

    `show` names the fields whose values are shown. It walks the whole heap, as `tlctx.lowlevel.open_scopes` does.
    """
    return list(describe(process_id(), [(scope, scope.source) for scope in open_scopes()], frozenset(show)))


def stack(recorder: Recorder, serial: int) -> list[Frame] | None:
    """Where the code of the request stands, outermost first; None if it is over."""
    entry = recorder.open.get(serial)
    scope = None if entry is None else entry[0]()
    if scope is None or scope.ended:
        return None
    frames = stack_of(scope)[-MOST_FRAMES:]
    return [
        Frame(shown(frame.filename), frame.lineno or 0, shown(frame.name, 200), shown(frame.line or "", 300))
        for frame in frames
    ]
