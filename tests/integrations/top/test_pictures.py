"""`python -m tlctx top`: what it shows."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from support import live_view

pytest.importorskip("rich", reason="needs rich")

from rich.console import Console

from tlctx._top.picture import Picture

if TYPE_CHECKING:
    from support.top import Server, Top


def test_it_shows_the_requests_with_the_oldest_first(server: Server, top: Top) -> None:
    young = live_view.request(2, "/notes", age=0.34, state="waiting", chunks=3)
    old = live_view.request(1, "/reports", age=75, values={"user": "'ann'"}, thread={"id": 1, "name": "gthread_5"})
    server.answers(live_view.answer(open=[young, old], truncated=2_000, trouble=["Redis is away"]))
    status, shown, errors = top(server.address)
    assert (status, errors) == (0, "")
    lines = [line.split() for line in shown.splitlines()]
    assert lines[0][:5] == ["2,002", "in", "flight", "·", "oldest"]
    assert ["!!", "1", "min", "15", "s", "GET", "/reports", "gthread_5", "running", "user='ann',", "db"] in lines
    assert ["340", "ms", "GET", "/notes", "gthread_1", "waiting,", "3", "chunks", "db,", "user"] in lines
    assert shown.index("/reports") < shown.index("/notes") < shown.index("2,000 more in flight")
    assert "Redis is away" in shown


def test_it_tells_processes_and_machines_apart_where_there_are_several(server: Server, top: Top) -> None:
    processes = [live_view.process(1), live_view.process(1, "web-2")]
    requests = [live_view.request(1, age=1), live_view.request(1, age=1, of="web-2:401")]
    server.answers(live_view.answer(processes=processes, open=requests))
    _, shown, _ = top(server.address)
    assert "2 processes on 2 machines" in shown
    assert "web-1:401" in shown
    assert "web-2:401" in shown


def test_it_says_that_nothing_is_served(server: Server, top: Top) -> None:
    assert "Nothing is being served right now." in top(server.address)[1]


def test_names_cannot_steer_the_terminal(server: Server, top: Top) -> None:
    nasty = "\x1b]0;owned\x07\x1b[2J\r\n\x9b31m\u202e[bold]x[/bold]:smile:"
    requests = [live_view.request(1, nasty, age=1, method=nasty, state=nasty, fields=[nasty], values={nasty: nasty})]
    requests[0] |= {"process": nasty, "thread": {"id": 1, "name": nasty}}
    processes = [live_view.process(1), live_view.process(2, nasty, id=nasty)]
    server.answers(live_view.answer(open=requests, processes=processes, trouble=[nasty]))
    _, shown, _ = top(server.address)
    assert all(character.isprintable() for character in shown.replace("\n", ""))
    assert "\\x1b]0;owned\\x07" in shown
    assert "[bold]x[/bold]:smile:" in shown


@pytest.mark.parametrize("height", [8, 20, 60])
def test_a_picture_is_as_high_as_the_terminal_at_most(height: int) -> None:
    requests = [live_view.request(number, age=number) for number in range(300)]
    console = Console(width=100, height=height, force_terminal=True, file=io.StringIO())
    with console.capture() as captured:
        console.print(Picture(live_view.answer(open=requests), "http://web/", footer="q leaves"), height=height)
    lines = captured.get().splitlines()
    assert len(lines) <= height
    assert "more in flight · q leaves" in lines[-1]
