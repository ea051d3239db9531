"""Faults of ASGI's clients: they leave early, read slowly, and speak over WebSockets."""

from __future__ import annotations

import contextlib
import socket
import struct
from importlib.util import find_spec
from typing import Any

from servers.asgi_fault import fault
from servers.client import PATIENCE
from servers.visit import NOWHERE, Visit, act_of_leaving
from support.helpers import missing

BY_CHANCE = {"*": "what a server does for a client that has left is a matter of chance"}

# Clients that leave


def leaving(name: str, route: str, received: int = 0, **limits: Any) -> None:
    fault(naive_varies=BY_CHANCE, **limits)(act_of_leaving(name, route, received))


leaving("client_leaves_before_the_headers", "wait_before_start")
leaving("client_leaves_in_the_middle_of_256_megabytes", "large", 1 << 20)
leaving("client_leaves_a_stream_that_looks_for_it", "wait_for_disconnect", 20)
leaving("client_leaves_before_a_background_task", "wait_after_the_answer", 20)


@fault(naive_varies=BY_CHANCE)
def client_leaves_in_the_middle_of_an_upload(visit: Visit) -> None:
    tag = visit.new_tag()
    with visit.connect() as connection:
        head = f"POST {visit.path('upload', tag)} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n"
        connection.send_raw(head.encode() + b"x" * 1000)
        visit.started(tag)
        connection.reset()
    visit.running.set_flag(tag)


@fault(naive_leaks=NOWHERE)
def slow_reader(visit: Visit) -> None:
    tag = visit.new_tag()
    with visit.connect(receive_buffer=65536) as connection:
        connection.send(visit.path("some_megabytes", tag))
        received = connection.receive_some(4 << 20, pause=0.001)
    if received < 4 << 20:
        visit.wrong.append(f"only {received} bytes came")


# WebSockets


@contextlib.contextmanager
def websocket(visit: Visit, route: str, tag: str) -> Any:
    if find_spec("websockets") is None:
        missing("websockets: pip install websockets")
    from websockets.sync.client import connect

    with connect(f"ws://127.0.0.1:{visit.running.port}{visit.path(route, tag)}", open_timeout=PATIENCE) as connection:
        yield connection


@fault()
def websockets_take_turns(visit: Visit) -> None:
    tags = [visit.new_tag() for _ in range(3)]
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(websocket(visit, "websocket_echo", tag)) for tag in tags]
        for turn in ("first", "second"):
            for connection, tag in zip(connections, tags, strict=True):
                connection.send(turn)
                if (answer := connection.recv(PATIENCE)) != f"{turn} {tag}":
                    visit.wrong.append(f"answered {answer!r}")


@fault(naive_leaks=NOWHERE)
def websocket_client_leaves(visit: Visit) -> None:
    tag = visit.new_tag()
    with contextlib.suppress(Exception), websocket(visit, "websocket_echo", tag) as connection:
        connection.send("first")
        connection.recv(PATIENCE)
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.socket.close()
    visit.check_started(tag)


@fault(naive_leaks=NOWHERE)
def websocket_refused(visit: Visit) -> None:
    tag = visit.new_tag()
    with contextlib.suppress(Exception), websocket(visit, "websocket_refused", tag):
        visit.wrong.append("it was accepted")
    visit.check_started(tag)


@fault()
def websocket_raises(visit: Visit) -> None:
    tag = visit.new_tag()
    with contextlib.suppress(Exception), websocket(visit, "websocket_raises", tag) as connection:
        connection.recv(PATIENCE)
    visit.check_started(tag)
