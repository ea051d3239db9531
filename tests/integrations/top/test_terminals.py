"""`python -m tlctx top` at a terminal."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest
from support import live_view
from support.helpers import PATIENCE
from support.top import at_a_terminal

if TYPE_CHECKING:
    from support.top import Server

pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(sys.platform == "win32", reason="needs a terminal of POSIX"),
]


def test_it_follows_the_requests_and_the_size_of_the_terminal_until_q(server: Server) -> None:
    import fcntl
    import struct
    import termios

    server.answers(live_view.answer(open=[live_view.request(1, "/first", age=3)]))
    with at_a_terminal(server.address) as (process, terminal, wait_for):
        wait_for("GET /first")
        server.answers(live_view.answer(open=[live_view.request(2, "/second", age=3)]))
        wait_for("GET /second")
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 140, 0, 0))
        wait_for("gthread_1")  # a column that had no place before
        server.answers(status=500)
        wait_for("(status 500). What is shown is from")
        os.write(terminal, b"q")
        wait_for("\x1b[?1049l")  # the screen that was there before
        assert process.wait(PATIENCE) == 0


def test_ctrl_c_leaves_without_a_traceback(server: Server) -> None:
    with at_a_terminal(server.address) as (process, terminal, wait_for):
        wait_for("Nothing is being served")
        os.write(terminal, b"\x03")
        wait_for("\x1b[?1049l")
        assert process.wait(PATIENCE) == 130
        os.set_blocking(terminal, False)
        with contextlib.suppress(BlockingIOError, OSError):
            assert b"Traceback" not in os.read(terminal, 10_000)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=["SIGTERM", "SIGHUP"])
def test_a_signal_that_ends_it_gives_the_terminal_back(server: Server, number: signal.Signals) -> None:
    with at_a_terminal(server.address) as (process, _, wait_for):
        wait_for("Nothing is being served")
        process.send_signal(number)
        wait_for("\x1b[?1049l")
        assert process.wait(PATIENCE) == 128 + number
