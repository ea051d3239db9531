"""Threads that run at once."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from support.helpers import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def start_threads(targets: Iterable[Callable[[], object]]) -> list[threading.Thread]:
    """Start one thread for each target."""
    threads = [threading.Thread(target=target) for target in targets]
    for thread in threads:
        thread.start()
    return threads


def run_at_once(targets: Iterable[Callable[[], object]]) -> None:
    """Run each target on a thread of its own; return when all of them have ended."""
    threads = start_threads(targets)
    for thread in threads:
        thread.join(PATIENCE)
    assert not any(thread.is_alive() for thread in threads), "a thread hangs"


def join_thread(thread: threading.Thread) -> None:
    """Wait until the thread has ended."""
    thread.join(PATIENCE)
    assert not thread.is_alive()
