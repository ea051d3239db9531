"""A watchdog, and what it logs."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Iterator
from typing import Any

from support.helpers import PATIENCE

from tlctx.gunicorn import Watchdog, _watchdog, watch

SOON = 0.01
NEVER = 3600.0
LOGGER = logging.getLogger("test of the watchdog")


class Log(logging.Handler):
    """What is logged, record by record."""

    def __init__(self) -> None:
        super().__init__()
        self.records: queue.Queue[logging.LogRecord] = queue.Queue()

    def emit(self, record: logging.LogRecord) -> None:
        self.records.put(record)

    def next(self) -> str:
        return self.records.get(timeout=PATIENCE).getMessage()

    @property
    def is_empty(self) -> bool:
        return self.records.empty()


@contextlib.contextmanager
def logged() -> Iterator[Log]:
    """A block, with what watchdogs log meanwhile; no watchdog is left after it."""
    LOGGER.propagate = False
    LOGGER.addHandler(handler := Log())
    try:
        yield handler
    finally:
        _watchdog.stop_watching()
        LOGGER.removeHandler(handler)
    assert "tlctx watchdog" not in [thread.name for thread in threading.enumerate()]


def start(after: float = SOON, **options: Any) -> Watchdog:
    return watch(after, logger=LOGGER, **options)


def hang(log: Log) -> str:
    return log.next()  # it hangs here
