"""Faults of ASGI: those of WSGI that have a counterpart, and what only an event loop and a WebSocket can do."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from servers import asgi_faults_of_clients
from servers.asgi_fault import FAULTS, fault
from servers.client import PATIENCE
from servers.running import until
from servers.visit import NOWHERE, Fault, Visit

__all__ = ["FAULTS"]

assert asgi_faults_of_clients  # which adds its own to FAULTS
ENDS_THE_LOOP = "it ends the loop, and a worker that failed is not replaced"
KILLS_TRIO = {"hypercorn-asgi-trio": ENDS_THE_LOOP}
KILLS = {
    "generator_exit": KILLS_TRIO,
    "system_exit": KILLS_TRIO,
    "keyboard_interrupt": {**KILLS_TRIO, "hypercorn-asgi": ENDS_THE_LOOP},
}
ON_UVICORN = ("uvicorn-asgi", "uvicorn-asgi-uvloop")
HYPERCORN_WAITS = {"hypercorn": "whether the next request waits for the end of the one before is a matter of chance"}
NO_TASKS = {"hypercorn-asgi-trio": "trio has no task that nobody waits for"}


def simple(
    name: str, method: str = "GET", *, close: bool = False, tag: str = "", route: str = "", **limits: Any
) -> None:
    """A fault that asks for one route and leaves it to the server what to answer."""

    def act(visit: Visit) -> None:
        visit.tag = f"{tag}.{visit.tag}" if tag else visit.tag
        visit.ask_and_probe(route or name, method, close=close)

    act.__name__ = name
    FAULTS.append(Fault(act, **limits))


# Exceptions

for when in ("raise_before_start", "raise_after_start", "raise_in_the_middle"):
    simple(when)
simple(
    "raise_after_the_answer",
    naive_varies={"uvicorn": "the request behind it runs, unanswered, and clears what this one has left"},
)
for error in ("stop_iteration", "stop_async_iteration", "generator_exit", "cancelled"):
    limits: dict[str, Any] = {"absent": {"hypercorn-asgi-trio": "it is asyncio's"} if error == "cancelled" else {}}
    limits["dies"] = KILLS.get(error, {})
    simple(error, tag=error, route="raise_named", **limits)
    simple(f"{error}_in_the_middle", tag=error, route="raise_named_in_the_middle", **limits)
for error in ("system_exit", "keyboard_interrupt"):
    simple(error, tag=error, route="raise_named", dies=KILLS[error])
simple("a_task_fails")


@fault(naive_leaks=NOWHERE, reported=(0, 0))
def cancelled_by_a_timeout(visit: Visit) -> None:
    answer = visit.ask("cancelled_by_a_timeout")
    visit.expect(answer, 200, visit.tags[-1].encode())


# Answers

for broken in ("no_answer", "only_start"):
    simple(broken, close=True, naive_leaks=NOWHERE)
for broken in (
    "body_before_start", "start_twice", "unknown_message", "content_length_too_large", "content_length_too_small",
):  # fmt: skip
    simple(broken, close=True)
simple("body_is_no_bytes", close=True, naive_leaks=ON_UVICORN)
simple("head", "HEAD", route="stream", naive_leaks=NOWHERE)
for odd in ("no_content", "not_modified"):
    simple(odd, naive_leaks=NOWHERE)

# Ends

simple("teardown_raises", reported=(0, 1))
simple("applied_twice", naive_leaks=NOWHERE)
simple("app_in_view")


@fault(reported=(0, 0))
def closed_early(visit: Visit) -> None:
    visit.expect(visit.ask("closed_early"), 200, b"late " * 3)


@fault(reported=(0, 1))
def closed_early_and_the_teardown_raises(visit: Visit) -> None:
    answer = visit.ask("closed_early_and_the_teardown_raises")
    if answer.status != 500:
        visit.wrong.append(f"answered {answer.status} although the teardown had failed")


# Requests that take turns


@fault()
def many_take_turns(visit: Visit) -> None:
    paths = [visit.path("take_turns", visit.new_tag()) for _ in range(24)]
    with ThreadPoolExecutor(8) as pool:
        for answer in pool.map(visit.ask_alone, paths):
            visit.expect(answer, 200, b"turn " * 5)


@fault(naive_leaks=NOWHERE)
def kept_alive(visit: Visit) -> None:
    for route in ("echo", "stream", "echo", "no_content", "echo"):
        answer = visit.ask(route)
        if route == "echo":
            visit.expect(answer, 200, visit.tags[-1].encode())


@fault(naive_leaks=ON_UVICORN, naive_varies=HYPERCORN_WAITS)
def pipelined_behind_one_that_goes_on(visit: Visit) -> None:
    """uvicorn makes the task of the next request in that of the one before it, whose background task still runs."""
    first, second = visit.new_tag(), visit.new_tag()
    with visit.connect() as connection:
        paths = [visit.path("wait_after_the_answer", first), "/probe", visit.path("echo", second), "/probe"]
        for path in paths:
            connection.send(path)
        answers = [connection.receive()]
        if visit.running.server.name.startswith("hypercorn"):  # it waits for the first one
            visit.running.set_flag(first)
        answers += [connection.receive() for _ in paths[1:]]
        check_probes(visit, answers)
        visit.expect(answers[2], 200, second.encode())
    visit.running.set_flag(first)


def check_probes(visit: Visit, answers: list[Any]) -> None:
    """Note what the probes among the answers see."""
    for answer in answers:
        if b'"outside": [' in answer.body and b'"outside": []' not in answer.body:
            visit.wrong.append(f"a later request sees {answer.body[:80]!r}")


@fault(naive_leaks=ON_UVICORN, naive_varies=HYPERCORN_WAITS)
def behind_an_upload_that_goes_on(visit: Visit) -> None:
    """uvicorn stops reading while a body is long, and goes on to read in the task of that request."""
    tag = visit.new_tag()
    body = b"x" * (4 << 20)
    with visit.connect() as connection:
        head = f"POST {visit.path('upload', tag)} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.send_raw(head.encode() + body)
        answer = connection.receive()
        visit.expect(answer, 200, str(len(body)).encode())
        connection.send("/probe")
        if visit.running.server.name.startswith("hypercorn"):
            visit.running.set_flag(tag)
        check_probes(visit, [connection.receive()])
    visit.running.set_flag(tag)


# The server's own life, other threads and processes


@fault(apart=lambda server: (), dies={"*": "it was told to"}, naive_leaks=NOWHERE)
def sigterm_in_the_grace_period(visit: Visit) -> None:
    """The server is told to stop while a body is on its way."""
    running, tag = visit.running, visit.new_tag()
    with visit.connect() as connection:
        connection.send(visit.path("wait_in_the_middle", tag))
        visit.started(tag)
        running.terminate()
        running.set_flag(tag)
        answer = connection.receive()
    if running.server.graceful:
        visit.expect(answer, 200, b"first piece piece piece ")
    if not until(lambda: not running.is_up, PATIENCE):
        visit.wrong.append("the server did not stop")


@fault(apart=lambda server: (), environment={"FAULTS_AT_IMPORT": "yes"})
def import_time_use(visit: Visit) -> None:
    visit.tags.append("import")


@fault(naive_leaks=NOWHERE)
def fork(visit: Visit) -> None:
    visit.expect(visit.ask("fork"), 200)
    if not any(name == "child" for name, *_ in visit.running.events(visit.tags[-1])):
        visit.wrong.append("there was no child")


def outlived(name: str, **limits: Any) -> None:
    def act(visit: Visit) -> None:
        visit.expect(visit.ask(name), 200)
        visit.running.set_flag(visit.tags[-1])
        jobs = ("job", "foreign")
        if not until(lambda: any(name in jobs for name, *_ in visit.running.events(visit.tags[-1])), PATIENCE):
            visit.wrong.append("the job never ran")

    act.__name__ = name
    fault(**limits)(act)


outlived("task_outlives", absent=NO_TASKS, naive_leaks=NOWHERE)
outlived("pool_job_outlives", naive_leaks=NOWHERE)
outlived("timer_outlives", naive_leaks=NOWHERE)


@fault(naive_varies={"*": "what its faults have left"})
def any_of_them_later_on(visit: Visit) -> None:
    """All requests of earlier faults: by now none was closed twice, and none saw another's data."""
    for tag, events in sorted(visit.running.events_by_tag().items()):
        names = [name for name, *_ in events]
        if names.count("opened") != names.count("closed") or "foreign" in names:
            visit.wrong.append(f"{tag}: {names}")
    visit.expect(visit.ask("echo"), 200)
