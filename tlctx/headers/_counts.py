"""How much was dropped, on the way in and on the way out. A client decides how often, so nothing is logged."""

from __future__ import annotations

from typing import NamedTuple

from tlctx.lowlevel import Count

__all__ = ["HeaderCounters", "baggage", "counters", "fields", "request_ids", "traceparents", "tracestates"]


class HeaderCounters(NamedTuple):
    """How often, since this process started, something was dropped because it breaks a rule or a limit."""

    request_ids: int
    """Request ids that were replaced by new ones on the way in, or not sent on."""

    traceparents: int
    """`traceparent` headers."""

    tracestates: int
    """`tracestate` headers; the `traceparent` beside them was kept."""

    baggage: int
    """Requests of whose `baggage` at least one member was dropped."""

    fields: int
    """Values of fields that were not sent on: of another type than str or int, too long, or with other characters."""


request_ids = Count()
traceparents = Count()
tracestates = Count()
baggage = Count()
fields = Count()


def counters() -> HeaderCounters:
    """The counts of this process, for a metric or an alarm. They only ever grow."""
    return HeaderCounters(request_ids.total, traceparents.total, tracestates.total, baggage.total, fields.total)
