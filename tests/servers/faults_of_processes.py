"""Faults around the request: the server stops, recycles or forks, and threads, jobs and other requests go on."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from servers.client import PATIENCE
from servers.running import until
from servers.visit import NO_FORK, NOWHERE, Visit, fault, simple

if TYPE_CHECKING:
    from servers.server_table import Server

# The server's own life


def limited(server: Server) -> tuple[str, ...]:
    """Options for a time limit of a second."""
    if server.name == "uwsgi":
        return "--harakiri=1", "--threads=1"
    return ("request-timeout=1", "shutdown-timeout=1") if server.name.startswith("mod_wsgi") else ("--timeout=1",)


def recycled(server: Server) -> tuple[str, ...]:
    """Options for workers that end after ten requests each."""
    if server.name.startswith("mod_wsgi"):
        return ("maximum-requests=10",)
    return "--max-requests=10", *(("--min-worker-lifetime=1",) if server.name == "uwsgi" else ())


@fault(
    apart=limited,
    absent={
        "*": "it has no time limit for a request",
        "gunicorn-gthread": "its timeout watches the worker's main loop, not the requests",
        "gunicorn-gevent": "its timeout watches the worker's main loop, not the requests",
        "gunicorn-sync": "", "uwsgi": "", "mod_wsgi": "",
    },
    killed={"uwsgi": "harakiri is a SIGKILL", "mod_wsgi": "the process ends with the request that takes too long"},
    naive_leaks=("gunicorn-sync", "gunicorn-sync-preload"),
)  # fmt: skip
def worker_timeout(visit: Visit) -> None:
    """A request that takes longer than the server allows."""
    with visit.connect() as connection:
        if connection.ask(visit.path("stuck", visit.new_tag())).status == 200:
            visit.wrong.append("the server allowed it")


@fault(
    apart=lambda server: (),
    absent={
        "twisted": "it waits for its threads first, and they for it to send what the body yields: it hangs",
        "tornado-executor": "its main thread closes the body that another thread still runs",
    },
    dies={"*": "it was told to"},
    naive_leaks=("bjoern",),
    killed={"werkzeug-threaded": "its request threads are daemons, which end with the process"},
)
def sigterm_in_the_grace_period(visit: Visit) -> None:
    """The server is told to stop while a body is on its way."""
    running, tag = visit.running, visit.new_tag()
    with visit.connect() as connection:
        connection.send(visit.path("wait_in_the_middle", tag))
        visit.started(tag)
        running.terminate()
        visit.running.set_flag(tag)
        answer = connection.receive()
    if running.server.graceful:
        visit.expect(answer, 200, b"first piece piece piece ")
    if not until(lambda: not running.is_up, 2.0):
        running.terminate()  # wsgiref treats the first signal as an error of the request
    if not until(lambda: not running.is_up, PATIENCE):
        visit.wrong.append("the server did not stop")


@fault(
    apart=recycled,
    absent={
        "gunicorn": "",
        "uwsgi": "",
        "mod_wsgi": "",
        "hypercorn": "",
        "uvicorn": "one process is not replaced when it has served its number",
        "*": "it serves until it is stopped",
    },
    naive_leaks=NOWHERE,
)
def max_requests_under_load(visit: Visit) -> None:
    """Workers that end after ten requests each, while others come."""

    def load() -> bool:
        """Send some requests; whether a second worker has served by now."""
        paths = [visit.path(route, visit.new_tag()) for route in ("echo", "sized_stream") * 10]
        served = [answer for answer in pool.map(visit.ask_alone, paths) if not answer.broken]
        if any(answer.status != 200 for answer in served):
            visit.wrong.append(f"answered {[answer.status for answer in served]}")
        return len({words[0] for tag in visit.tags for words in visit.places(tag)}) >= 2

    with ThreadPoolExecutor(4) as pool:
        if not until(load, PATIENCE):
            visit.wrong.append("the workers are not recycled")
    visit.tags = [tag for tag in visit.tags if visit.places(tag)]  # a worker may end after it accepted a request


@fault(apart=lambda server: (), environment={"FAULTS_AT_IMPORT": "yes"})
def import_time_use(visit: Visit) -> None:
    """A module that uses the context when it is imported: under --preload, in the process that forks the workers."""
    visit.tags.append("import")


@fault(
    apart=lambda server: () if server.name.startswith("gunicorn") else ("patch-late",),
    absent={
        "gunicorn": "it runs no greenlets", "gunicorn-gevent": "", "uwsgi": "it runs no greenlets",
        "granian": "its threads are not Python's: there is nothing to patch",
        "hypercorn": "asyncio's loop", "uvicorn": "asyncio's loop waits where gevent's can't run",
        "bjoern": "its loop is in C: there is nothing to patch", "mod_wsgi": "it runs no greenlets",
    },
    environment={"FAULTS_EARLY_LOCAL": "yes"},
    naive_leaks=("gunicorn-gevent-preload", "werkzeug-threaded", "tornado"),
)  # fmt: skip
def gevent_patched_after_import(visit: Visit) -> None:
    """Greenlets that take turns, where gevent patched after the import of tlctx, as gunicorn does with --preload."""
    paths = [visit.path("greenlets_take_turns", visit.new_tag()) for _ in range(24)]

    with ThreadPoolExecutor(8) as pool:
        for answer in pool.map(visit.ask_alone, paths):
            visit.expect(answer, 200, b"turn " * 5)


# Other threads, processes and requests


def forked(visit: Visit, route: str) -> None:
    visit.expect(visit.ask(route), 200)
    if not any(name == "child" for name, *_ in visit.running.events(visit.tags[-1])):
        visit.wrong.append("there was no child")


@fault(absent=NO_FORK, naive_leaks=NOWHERE)
def fork(visit: Visit) -> None:
    forked(visit, "fork")


@fault(absent=NO_FORK, naive_leaks=NOWHERE)
def fork_by_multiprocessing(visit: Visit) -> None:
    forked(visit, "fork_by_multiprocessing")


simple("test_client_in_view")
simple("test_client_in_stream")


def outlived(visit: Visit, route: str) -> None:
    visit.expect(visit.ask(route), 200)
    visit.running.set_flag(visit.tags[-1])
    if not until(
        lambda: any(name in ("job", "foreign") for name, *_ in visit.running.events(visit.tags[-1])), PATIENCE
    ):
        visit.wrong.append("the job never ran")


@fault()
def pool_job_outlives(visit: Visit) -> None:
    outlived(visit, "pool_job_outlives")


@fault()
def timer_outlives(visit: Visit) -> None:
    outlived(visit, "timer_outlives")


@fault()
def any_of_them_later_on(visit: Visit) -> None:
    """All requests of earlier faults: by now none was closed twice, and none saw another's data."""
    for tag, events in sorted(visit.running.events_by_tag().items()):
        names = [name for name, *_ in events]
        if names.count("opened") != names.count("closed") or "foreign" in names:
            visit.wrong.append(f"{tag}: {names}")
    visit.expect(visit.ask("echo"), 200)
