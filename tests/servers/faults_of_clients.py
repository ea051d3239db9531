"""Faults of clients: they leave early, read slowly, reuse a connection, and pipeline requests."""

from __future__ import annotations

from typing import Any

from servers.visit import DROPS, NOWHERE, Visit, act_of_leaving, fault

# Clients that leave


def leaving(name: str, route: str, received: int = 0, **limits: Any) -> None:
    fault(naive_varies=DROPS, **limits)(act_of_leaving(name, route, received))


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


@fault(absent={"bjoern": "the last of such requests takes the place of those before it"}, naive_leaks=NOWHERE)
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
