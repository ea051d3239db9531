"""Views as JSON: between processes, and checked when one comes in. What is wrong in it is a ValueError, and no more."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from tlctx.inspector._model import BOUNDS, FinishedRequest, Frame, OpenRequest, Process, RouteTimes, Thread, View
from tlctx.inspector._texts import LONGEST, shown

__all__ = ["MOST_BYTES", "fitted", "frames_from", "to_json", "view_from"]

MOST_BYTES = 2_000_000
"""Of what one process says."""
_MOST_LISTED = 1000
_MOST_NUMBER = 2**63


def to_json(content: Any) -> bytes:
    """The bytes, all of them ASCII."""
    return json.dumps(content, default=vars, allow_nan=False, separators=(",", ":")).encode()


def view_from(data: bytes) -> View:
    """The view of one process. Raises ValueError for anything else."""
    read = _parse(data)
    processes = read.list("processes")
    if len(processes) != 1:
        raise ValueError("it is not of one process")
    process = _process(processes[0])
    return View(
        taken=read.number("taken"),
        processes=[process],
        open=[_open(process.id, each) for each in read.list("open")],
        recent=[_finished(process.id, each) for each in read.list("recent")],
        slowest=[_finished(process.id, each) for each in read.list("slowest")],
        failed=[_finished(process.id, each) for each in read.list("failed")],
        routes=[_route(each) for each in read.list("routes")],
        truncated=read.count("truncated"),
        trouble=[shown(each) for each in read.list("trouble") if isinstance(each, str)],
    )


def fitted(view: View) -> bytes:
    """The view as JSON, without its latest open requests where it would be too long."""
    while len(data := to_json(view)) > MOST_BYTES and (view.open or view.recent):
        view.truncated += len(view.open) - len(view.open) // 2
        del view.open[len(view.open) // 2 :], view.recent[: len(view.recent) // 2 + 1]
    return data


def frames_from(data: bytes) -> list[Frame] | None:
    """The frames of a stack, or None for a request that is over. Raises ValueError for anything else."""
    read = _parse(data)
    if read.given.get("frames") is None:
        return None
    frames = [_Object(frame) for frame in read.list("frames")]
    return [Frame(each.text("file"), each.count("line"), each.text("function"), each.text("code")) for each in frames]


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _parse(data: bytes) -> _Object:
    try:
        return _Object(json.loads(data, parse_constant=_refuse_constant))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


class _Object:
    """An object of JSON, whose members have to be what they are asked for as."""

    def __init__(self, given: Any) -> None:
        if type(given) is not dict:
            raise ValueError("it is no object")
        self.given: dict[str, Any] = given

    def text(self, name: str) -> str:
        found = self.given.get(name)
        if type(found) is not str:
            raise ValueError(f"{name} is no text")
        return shown(found, LONGEST)

    def text_or_none(self, name: str) -> str | None:
        return None if self.given.get(name) is None else self.text(name)

    def number(self, name: str) -> float:
        found = self.given.get(name)
        if not isinstance(found, int | float) or not 0 <= found < _MOST_NUMBER:  # nor is NaN
            raise ValueError(f"{name} is no number that can be")
        return float(found)

    def count(self, name: str) -> int:
        found = self.given.get(name)
        if type(found) is not int or not 0 <= found < _MOST_NUMBER:
            raise ValueError(f"{name} is no count")
        return found

    def list(self, name: str, most: int = _MOST_LISTED) -> list[Any]:
        found = self.given.get(name)
        if type(found) is not list or len(found) > most:
            raise ValueError(f"{name} is no list, or too long")
        return found


def _process(given: Any) -> Process:
    read = _Object(given)
    host, pid = read.text("host"), read.count("pid")
    counts = ("open", "begun", "failed", "dropped_bodies", "failed_teardowns")
    return Process(f"{host}:{pid}", host, pid, 0.0, True, *[read.count(name) for name in counts])


def _thread(given: Any) -> Thread:
    read = _Object(given)
    return Thread(read.count("id"), read.text("name"))


def _common(process: str, read: _Object) -> dict[str, Any]:
    serial = read.count("serial")
    return {
        "id": f"{process}:{serial}",
        "process": process,
        "serial": serial,
        "method": read.text_or_none("method"),
        "path": read.text_or_none("path"),
        "label": read.text("label"),
        "route": read.text_or_none("route"),
        "thread": _thread(read.given.get("thread")),
        "began": read.number("began"),
    }


def _open(process: str, given: Any) -> OpenRequest:
    read = _Object(given)
    values = _Object(read.given.get("values"))
    if len(values.given) > _MOST_LISTED:
        raise ValueError("values are too many")
    return OpenRequest(
        **_common(process, read),
        age=read.number("age"),
        state="running" if read.text("state") == "running" else "waiting",
        chunks=read.count("chunks"),
        fields=[shown(name) for name in read.list("fields") if isinstance(name, str)],
        values={shown(name): values.text(name) for name in values.given},
        trace=read.text_or_none("trace"),
    )


def _finished(process: str, given: Any) -> FinishedRequest:
    read = _Object(given)
    return FinishedRequest(**_common(process, read), duration=read.number("duration"), error=read.text_or_none("error"))


def _route(given: Any) -> RouteTimes:
    read = _Object(given)
    buckets = _Object({str(number): each for number, each in enumerate(read.list("buckets"))})
    return RouteTimes(
        name=read.text("name"),
        count=read.count("count"),
        failed=read.count("failed"),
        seconds=read.number("seconds"),
        buckets=[buckets.count(str(number)) for number in range(len(BOUNDS) + 1)],
    )
