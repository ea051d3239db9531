"""The table of faults: what the client does, and where a server has limits of its own.

A fault is a function of a `Visit`, and has the function's name.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from servers.client import PATIENCE
from servers.servers import Server, until
from servers.visit import (
    FAULTS,
    GUNICORN_HTTP1,
    KILLS_CHEROOT,
    KILLS_WERKZEUG,
    NOWHERE,
    WERKZEUG_DROPS,
    Visit,
    fault,
    raising,
    simple,
)

__all__ = ["FAULTS"]

# Exceptions

for before_the_body in ("raise_before_start_response", "raise_after_start_response", "raise_after_write"):
    simple(before_the_body)
for in_the_body in ("raise_in_first_chunk", "raise_in_middle_chunk"):
    simple(in_the_body, naive_leaks=NOWHERE)


def alone_on_uwsgi(server: Server) -> tuple[str, ...] | None:
    """Up to CPython 3.12 an exit on another thread than the main one waits for that, which serves on meanwhile."""
    return () if server.name == "uwsgi" else None


raising("stop_iteration")
raising("system_exit", dies=KILLS_WERKZEUG | KILLS_CHEROOT, apart=alone_on_uwsgi)
raising("keyboard_interrupt", dies=KILLS_WERKZEUG | KILLS_CHEROOT)
raising(
    "system_exit_in_chunk", "raise_in_chunk", dies=KILLS_WERKZEUG | KILLS_CHEROOT, naive_leaks=("uwsgi",),
    apart=alone_on_uwsgi,
)  # fmt: skip
raising("keyboard_interrupt_in_chunk", "raise_in_chunk", dies=KILLS_WERKZEUG | KILLS_CHEROOT, naive_leaks=NOWHERE)
for error in ("generator_exit", "greenlet_exit", "gevent_timeout"):
    raising(error, dies=KILLS_WERKZEUG)
    raising(f"{error}_in_chunk", "raise_in_chunk", dies=KILLS_WERKZEUG, naive_leaks=NOWHERE)

# Answers that break PEP 3333

simple("return_none", naive_leaks=("granian",))
simple("return_str", naive_leaks=NOWHERE)
simple("return_number", naive_leaks=("granian",))
simple("never_start_response", naive_leaks=("cheroot",))
simple("chunk_is_no_bytes", naive_leaks=NOWHERE)
simple("content_length_too_large", close=True, naive_leaks=NOWHERE)
simple("content_length_too_small", close=True, naive_leaks=NOWHERE, naive_varies=WERKZEUG_DROPS)

# Answers that are odd, and right

simple("head", "stream", "HEAD", naive_leaks=NOWHERE, naive_varies=WERKZEUG_DROPS)
for odd in ("empty_generator", "no_content", "not_modified", "exc_info_before_headers", "exc_info_after_headers"):
    simple(odd, naive_leaks=NOWHERE)

# Ends of a body, and of a request

simple("close_raises")
simple("close_twice", reported=(0, 0), naive_leaks=NOWHERE)
simple("close_on_another_thread")
simple("teardown_raises", reported=(0, 1))
simple("teardown_raises_after_stream", reported=(0, 1))
simple("applied_twice", naive_leaks=NOWHERE)


@fault(reported=(1, 0))
def close_never_collected_on_the_same_thread(visit: Visit) -> None:
    visit.ask("close_never")
    visit.expect(visit.ask("drop_kept_body"), 200)


@fault(reported=(1, 0))
def close_never_collected_on_another_thread(visit: Visit) -> None:
    visit.ask("close_never")
    visit.expect(visit.ask("drop_kept_body_on_another_thread"), 200)


simple("access_log_raises", naive_leaks=GUNICORN_HTTP1)

# Clients that leave


def leaving(name: str, route: str, received: int = 0, **limits: Any) -> None:
    """Ask, receive so many bytes, reset the connection, and let the app go on."""

    def act(visit: Visit) -> None:
        tag = visit.new_tag()
        with visit.connect(receive_buffer=65536) as connection:
            connection.send(visit.path(route, tag))
            if not visit.started(tag):
                visit.wrong.append("the app was never called")
            connection.receive_some(received)
            connection.reset()
        visit.running.set_flag(tag)

    act.__name__ = name
    fault(naive_varies=WERKZEUG_DROPS, **limits)(act)


leaving("client_leaves_before_the_headers", "wait_before_headers", naive_leaks=NOWHERE)
leaving("client_leaves_before_the_first_byte", "wait_before_first_chunk", naive_leaks=NOWHERE)
leaving("client_leaves_in_the_middle_of_256_megabytes", "large", 1 << 20, naive_leaks=NOWHERE)
leaving("client_leaves_in_the_middle_of_a_file", "large_file", 1 << 20, naive_leaks=NOWHERE)
leaving("client_leaves_after_the_body", "wait_after_body", naive_leaks=NOWHERE)


@fault(naive_leaks=NOWHERE)
def client_leaves_in_its_own_headers(visit: Visit) -> None:
    with visit.connect() as connection:
        connection.send_raw(b"GET /echo?tag=never HTTP/1.1\r\nHost: loc")
        connection.reset()
    visit.expect(visit.ask("echo"), 200)


@fault(naive_leaks=NOWHERE)
def slow_reader(visit: Visit) -> None:
    tag = visit.new_tag()
    with visit.connect(receive_buffer=65536) as connection:
        connection.send(visit.path("some_megabytes", tag))
        received = connection.receive_some(4 << 20, pause=0.001)
    if received < 4 << 20:
        visit.wrong.append(f"only {received} bytes came")


# Connections


@fault(naive_leaks=NOWHERE)
def kept_alive(visit: Visit) -> None:
    keeps = visit.running.server.keeps_alive
    for route in ("echo", "stream", "echo", "empty_generator", "echo"):
        answer = visit.ask(route)
        if route == "echo":
            visit.expect(answer, 200, visit.tags[-1].encode())
        if visit.connection is None and route == "echo" and keeps:
            visit.wrong.append("the server did not keep the connection")


@fault(naive_leaks=NOWHERE)
def pipelined(visit: Visit) -> None:
    tags = [visit.new_tag() for _ in range(4)]
    with visit.connect() as connection:
        answers = connection.ask_at_once([visit.path("echo", tag) for tag in tags])
    pipelines = visit.running.server.pipelines
    for answer, tag in zip(answers, tags, strict=False):
        if pipelines or not answer.broken:
            visit.expect(answer, 200, tag.encode())
    if pipelines and len(answers) < len(tags):
        visit.wrong.append(f"only {len(answers)} of {len(tags)} were answered")


# The server's own life


@fault(
    apart=lambda server: ("--harakiri=1", "--threads=1") if server.name == "uwsgi" else ("--timeout=1",),
    absent={
        "*": "it has no time limit for a request",
        "gunicorn-gthread": "its timeout watches the worker's main loop, not the requests",
        "gunicorn-gevent": "its timeout watches the worker's main loop, not the requests",
        "gunicorn-sync": "", "uwsgi": "",
    },
    killed={"uwsgi": "harakiri is a SIGKILL"},
    naive_leaks=("gunicorn-sync", "gunicorn-sync-preload"),
)  # fmt: skip
def worker_timeout(visit: Visit) -> None:
    """A request that takes longer than the server allows."""
    with visit.connect() as connection:
        if connection.ask(visit.path("stuck", visit.new_tag())).status == 200:
            visit.wrong.append("the server allowed it")


@fault(
    apart=lambda server: (),
    dies={"*": "it was told to"},
    naive_leaks=NOWHERE,
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
    if not until(lambda: not running.alive, 2.0):
        running.terminate()  # wsgiref takes the first one for an error of the request
    if not until(lambda: not running.alive, PATIENCE):
        visit.wrong.append("the server did not stop")


@fault(
    apart=lambda server: ("--max-requests=10", *(("--min-worker-lifetime=1",) if server.name == "uwsgi" else ())),
    absent={"gunicorn": "", "uwsgi": "", "*": "it serves until it is stopped"},
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
    visit.tags = [tag for tag in visit.tags if visit.places(tag)]  # a worker may end with one accepted


@fault(apart=lambda server: (), environment={"FAULTS_AT_IMPORT": "yes"})
def import_time_use(visit: Visit) -> None:
    """A module that uses the context when it is imported: under --preload, in the process that forks the workers."""
    visit.tags.append("import")


@fault(
    apart=lambda server: () if server.name.startswith("gunicorn") else ("patch-late",),
    absent={
        "gunicorn": "it runs no greenlets", "gunicorn-gevent": "", "uwsgi": "it runs no greenlets",
        "granian": "its threads are not Python's: there is nothing to patch",
    },
    environment={"FAULTS_EARLY_LOCAL": "yes"},
    naive_leaks=("gunicorn-gevent-preload", "werkzeug-threaded"),
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


@fault(naive_leaks=NOWHERE)
def fork(visit: Visit) -> None:
    forked(visit, "fork")


@fault(naive_leaks=NOWHERE)
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
    """All requests of the faults before: meanwhile none has been closed a second time, or met another's data."""
    events = [line.split(" ") for line in visit.running.events_file.read_text().splitlines()]
    for tag in sorted({tag for _, tag, *_ in events}):
        names = [name for name, about, *_ in events if about == tag]
        if names.count("opened") != names.count("closed") or "foreign" in names:
            visit.wrong.append(f"{tag}: {names}")
    visit.expect(visit.ask("echo"), 200)
