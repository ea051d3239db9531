"""Answers of the live view that are made up: with no, few or very many requests, and with hostile names."""

from __future__ import annotations

import random
from typing import Any

BOUNDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
NOW = 1_764_380_000.0
ROUTES = {
    "GET /": ("/", 0.006), "GET /notes": ("/notes", 0.03), "GET /notes/<id>": ("/notes/{}", 0.02),
    "POST /notes": ("/notes", 0.08), "GET /search": ("/search?q=pears", 0.3), "GET /export": ("/export", 2.4),
    "GET /reports/<year>": ("/reports/2025", 5.0), "POST /sign-in": ("/sign-in", 0.22),
}  # fmt: skip
HOSTILE = [
    "/<script>document.title='owned'</script>", "/\"><img src=x onerror=\"document.title='owned'\">",
    "/\x1b]0;owned\x07\x1b[2J\x1b[31m", "/\u202egnp.exe", "/[bold red]markup[/]", "/" + "a" * 6000, "/{{7*7}}${7*7}",
    "/line\nbreak\r\nand\ttab", "/&lt;b&gt;&amp;", "javascript:alert(1)",
]  # fmt: skip
ONLY_OPEN = {"age", "state", "chunks", "fields", "values", "trace"}
ERRORS = ["ValueError", "OperationalError", "TimeoutError"]


def answer(**fields: Any) -> dict[str, Any]:
    """An answer of a process that serves nothing, but for what `fields` say."""
    empty: dict[str, Any] = {
        "taken": NOW, "processes": [process(1)], "open": [], "recent": [], "slowest": [], "failed": [],
        "bounds": BOUNDS, "routes": [], "truncated": 0, "trouble": [],
    }  # fmt: skip
    return empty | fields


def process(number: int, host: str = "web-1", **fields: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "id": f"{host}:{400 + number}", "host": host, "pid": 400 + number, "seen": 0.2, "reached": True, "open": 0,
        "begun": 0, "failed": 0, "dropped_bodies": 0, "failed_teardowns": 0,
    }  # fmt: skip
    return made | fields


def request(serial: int, path: str = "/", *, age: float, of: str = "web-1:401", **fields: Any) -> dict[str, Any]:
    method = str(fields.get("method", "GET"))
    made: dict[str, Any] = {
        "id": f"{of}:{serial}", "process": of, "serial": serial, "method": method, "path": path,
        "label": f"{method} {path}", "route": path, "thread": {"id": 140, "name": "gthread_1"}, "began": NOW - age,
        "age": age, "state": "running", "chunks": 0, "fields": ["db", "user"], "values": {}, "trace": None,
    }  # fmt: skip
    return made | fields


def finished(serial: int, path: str = "/", *, ago: float, took: float, **fields: Any) -> dict[str, Any]:
    made = request(serial, path, age=ago + took, **{"duration": took, "error": None, **fields})
    return {name: value for name, value in made.items() if name not in ONLY_OPEN}


def busy(threads: int = 8, processes: int = 1, hosts: int = 1, seed: int = 7) -> dict[str, Any]:
    """What processes with so many threads each have served in the last minute, and serve."""
    draw = random.Random(seed)
    picture = answer(processes=[])
    serial = 0
    for host in range(1, hosts + 1):
        for number in range(1, processes + 1):
            made = process(number, f"web-{host}")
            picture["processes"].append(made)
            for thread in range(threads):
                serial = _fill_lane(picture, made, thread, draw, serial)
            mine = [item for item in picture["open"] if item["process"] == made["id"]]
            gone = [item for item in picture["recent"] if item["process"] == made["id"]]
            made |= {
                "open": len(mine),
                "begun": 1200 + len(gone) + len(mine),
                "failed": sum(map(bool, [item["error"] for item in gone])),
            }
    picture["open"].sort(key=lambda item: -item["age"])
    picture["slowest"] = sorted(picture["recent"], key=lambda item: -item["duration"])[:8]
    picture["failed"] = sorted((item for item in picture["recent"] if item["error"]), key=lambda item: -item["began"])[
        :8
    ]
    picture["routes"] = [_route(name, base, draw) for name, (_, base) in ROUTES.items()]
    return picture


def _fill_lane(picture: dict[str, Any], made: dict[str, Any], thread: int, draw: random.Random, serial: int) -> int:
    moment = NOW - 60 + draw.random() * 6
    where = {"id": 140 + thread, "name": f"gthread_{thread}"}
    while True:
        serial += 1
        name = draw.choices(list(ROUTES), weights=[8, 9, 9, 3, 4, 2, 2, 2])[0]
        path, base = ROUTES[name]
        method, took = name.split()[0], base * draw.lognormvariate(0, 0.8)
        path = path.format(draw.randrange(1, 999))
        common: dict[str, Any] = {"of": made["id"], "thread": where, "method": method, "route": name.split()[1]}
        if moment + took >= NOW - 0.2:
            age = NOW - moment
            if age > 0:
                waiting = name == "GET /export"
                more: dict[str, Any] = {"state": "waiting" if waiting else "running", "chunks": 37 if waiting else 0}
                values = {"user": repr(draw.choice(["ann", "bob", "eve"]))}
                picture["open"].append(request(serial, path, age=age, **common, **more, values=values))
            return serial
        error = draw.choice(ERRORS) if draw.random() < 0.025 else None
        picture["recent"].append(finished(serial, path, ago=NOW - moment - took, took=took, error=error, **common))
        moment += took + draw.expovariate(1 / 2.2)


def _route(name: str, base: float, draw: random.Random) -> dict[str, Any]:
    times = [base * draw.lognormvariate(0, 0.8) for _ in range(draw.randrange(20, 900))]
    buckets = [0] * (len(BOUNDS) + 1)
    for took in times:
        buckets[sum(took > bound for bound in BOUNDS)] += 1
    failed = sum(draw.random() < 0.01 for _ in times)
    return {"name": name, "count": len(times), "failed": failed, "seconds": sum(times), "buckets": buckets}


LIBRARIES = "/srv/notebook/.venv/lib/python3.13/site-packages"
STACK = [
    ("/usr/lib/python3.13/threading.py", 1014, "_bootstrap", "self._bootstrap_inner()"),
    ("/usr/lib/python3.13/concurrent/futures/thread.py", 93, "_worker", "work_item.run()"),
    (
        f"{LIBRARIES}/gunicorn/workers/gthread.py",
        333,
        "handle_request",
        "respiter = self.wsgi(environ, resp.start_response)",
    ),
    (f"{LIBRARIES}/flask/app.py", 1536, "__call__", "return self.wsgi_app(environ, start_response)"),
    (
        f"{LIBRARIES}/flask/app.py",
        902,
        "dispatch_request",
        "return self.ensure_sync(self.view_functions[rule.endpoint])(**view_args)",
    ),
    ("/srv/notebook/views.py", 88, "report", "rows = totals_of(year, ctx.user)"),
    ("/srv/notebook/reports.py", 41, "totals_of", "return list(ctx.db.scalars(statement))"),
    (f"{LIBRARIES}/sqlalchemy/orm/session.py", 2414, "scalars", "return self._execute_internal("),
    (
        f"{LIBRARIES}/psycopg/connection.py",
        482,
        "wait",
        "return waiting.wait(gen, self.pgconn.socket, interval=interval)",
    ),
]


def stack(request_id: str) -> dict[str, Any]:
    """The stack of a request that waits for its database."""
    frames = [dict(zip(("file", "line", "function", "code"), frame, strict=True)) for frame in STACK]
    return {"id": request_id, "frames": frames, "ended": False}
