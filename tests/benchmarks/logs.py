"""Log records: one that is made, stamped and formatted, beside one that a filter which does nothing has seen."""

from __future__ import annotations

import functools
import logging
import time
from typing import TYPE_CHECKING, Any

from benchmarks.measure import Effort, Job, Row, calling, figure, in_turn

import tlctx
from tlctx import Scope
from tlctx.logs import ContextFilter
from tlctx.lowlevel import bound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PLACES = ("in a request", "outside")
WORK = "a log record, with the user and the request id"


class Ctx(tlctx.RequestContext):
    """The fields that are stamped."""

    user: str = "stranger"
    request_id: str = "-"


class Nothing(logging.Filter):
    """Lets a record pass."""

    def filter(self, record: logging.LogRecord) -> bool:
        return True


class Formatting(logging.Handler):
    """Formats each record, and drops the line."""

    def emit(self, record: logging.LogRecord) -> None:
        self.format(record)


def logging_through(filtering: logging.Filter) -> Callable[[], object]:
    """A function that logs one line."""
    handler = Formatting()
    handler.addFilter(filtering)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    logger = logging.Logger("shop")  # noqa: LOG001  # nothing else is connected to it
    logger.addHandler(handler)
    return functools.partial(logger.info, "order placed")


def records(place: str, effort: Effort) -> Iterator[Row]:
    """The same format on both sides: what the stamps add to a line is no cost of the filter."""
    ctx = Ctx()
    scope: Any = Scope(ctx, {"tlctx.request_id": "4bf92f3577b34da6a3ce929d0e0e4736"})
    sides = [calling(logging_through(each), time.process_time) for each in (ContextFilter(ctx, ["user"]), Nothing())]
    longer = Effort(effort.rounds * effort.count(4, 1), effort.slice, effort.trial)
    if place == "in a request":
        with bound(scope):
            ctx.user = "ann"
            measured = in_turn(sides, longer)
    else:
        measured = in_turn(sides, longer)
    scope.close()
    yield Row(f"{WORK}, {place}", "a filter that does nothing", figure((0.0, *each) for each in measured))


JOBS = [Job(place, functools.partial(records, place), 3) for place in PLACES]
