"""What the view consists of."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["BOUNDS", "FinishedRequest", "Frame", "OpenRequest", "Process", "RouteTimes", "Thread", "View"]

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""Seconds: the upper bounds of a histogram's buckets. A last bucket has what took longer."""


@dataclass(frozen=True)
class Thread:
    """The thread, or the greenlet, that a request ran on last; `id` is 0 where that is unknown."""

    id: int
    name: str


@dataclass(frozen=True)
class Frame:
    """A place in the code: `function`, in `line` of `file`, whose text is `code`."""

    file: str
    line: int
    function: str
    code: str


@dataclass(frozen=True)
class OpenRequest:
    """A request that is being served.

    `id` is of all processes, `serial` of its own. `method` and `path` are None for work that is no HTTP request, a job
    for example; `label` names that too. `route` is the framework's pattern. `began` is in Unix seconds, `age` in
    seconds. `state` is "running" where its code is on a thread now, else "waiting". `chunks` counts the pieces of its
    body that the server took. `fields` are the names that have a value, `values` the texts of those that may be shown.
    """

    id: str
    process: str
    serial: int
    method: str | None
    path: str | None
    label: str
    route: str | None
    thread: Thread
    began: float
    age: float
    state: str
    chunks: int
    fields: list[str]
    values: dict[str, str]
    trace: str | None


@dataclass(frozen=True)
class FinishedRequest:
    """A request that is over. `duration` is in seconds, `error` the type of what ended it; else as OpenRequest."""

    id: str
    process: str
    serial: int
    method: str | None
    path: str | None
    label: str
    route: str | None
    thread: Thread
    began: float
    duration: float
    error: str | None


@dataclass
class RouteTimes:
    """How long the requests of one route took, since their process began. `buckets` are those of `BOUNDS`."""

    name: str
    count: int = 0
    failed: int = 0
    seconds: float = 0.0
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))


@dataclass(frozen=True)
class Process:
    """A process that serves requests. `seen` is how many seconds ago it told so, `reached` whether it did this time."""

    id: str
    host: str
    pid: int
    seen: float
    reached: bool
    open: int
    begun: int
    failed: int
    dropped_bodies: int
    failed_teardowns: int


@dataclass
class View:
    """What all processes serve, as it was at `taken`, in Unix seconds.

    `open` has the oldest first; `truncated` is how many more there are. `trouble` says in words what is missing.
    """

    taken: float
    processes: list[Process] = field(default_factory=list)
    open: list[OpenRequest] = field(default_factory=list)
    recent: list[FinishedRequest] = field(default_factory=list)
    slowest: list[FinishedRequest] = field(default_factory=list)
    failed: list[FinishedRequest] = field(default_factory=list)
    bounds: tuple[float, ...] = BOUNDS
    routes: list[RouteTimes] = field(default_factory=list)
    truncated: int = 0
    trouble: list[str] = field(default_factory=list)
