"""Loggers that keep what was stamped on their records."""

from __future__ import annotations

import logging
from typing import Any


class Kept(logging.Handler):
    """Keeps records, and formats each, as a handler does that writes it."""

    def __init__(self, *filters: logging.Filter) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self.lines: list[str] = []
        for each in filters:
            self.addFilter(each)

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
        self.lines.append(self.format(record))

    def stamps(self, *names: str) -> list[Any]:
        """What the records have under the names: a tuple each, or where there is one name, that value."""
        found = [tuple(vars(record)[name] for name in names) for record in self.records]
        return [each[0] for each in found] if len(names) == 1 else found


def logger_to(handler: logging.Handler) -> logging.Logger:
    """A logger that nothing else is connected to."""
    logger = logging.Logger("notes")  # noqa: LOG001  # no other test gets it
    logger.addHandler(handler)
    return logger
