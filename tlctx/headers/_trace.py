"""W3C trace context and baggage, by the propagators of opentelemetry-api. No other module imports that package.

The propagators log what they refuse, a client's bytes included, as often as clients like. So they get valid headers
only. Baggage members are sent on as they came: the propagator would turn `%20` into `+`, and make a member's properties
a part of its value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry import baggage, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from tlctx.headers import _counts, _rules

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

__all__ = ["allowed_baggage", "context_of", "current_trace", "read_baggage", "read_trace"]

_trace = TraceContextTextMapPropagator()
_baggage = W3CBaggagePropagator()
_KNOWN_FLAGS = 0x03
"""Sampled and random. W3C has the others set to zero by who does not know them."""


def read_trace(parents: Collection[str], states: Collection[str]) -> dict[str, str]:
    """The headers `traceparent` and `tracestate`, to be sent on. What breaks a rule is left out, and counted."""
    if not parents:
        return {}
    parent = _rules.the_traceparent(parents)
    context = _trace.extract({"traceparent": parent or ""}, Context())
    if not trace.get_current_span(context).get_span_context().is_valid:
        _counts.traceparents.add()
        return {}
    members = _rules.tracestate_members(states)
    if members is None:
        _counts.tracestates.add()
    received = {"traceparent": parent or "", "tracestate": ",".join(members or ())}
    return _inject_trace(_trace.extract(received, Context()))


def current_trace() -> dict[str, str]:
    """The headers of the span that is current in OpenTelemetry; empty if none is."""
    return _inject_trace(None)


def _inject_trace(context: Context | None) -> dict[str, str]:
    carrier: dict[str, str] = {}
    _trace.inject(carrier, context)
    if carrier:
        parent = carrier["traceparent"]
        carrier["traceparent"] = f"{parent[:-2]}{int(parent[-2:], 16) & _KNOWN_FLAGS:02x}"
    return carrier


def read_baggage(values: Collection[str]) -> str:
    """The members of all headers as one; those that break a rule or a limit are left out, and counted."""
    members, complete = _rules.split_baggage(values)
    if not complete:
        _counts.baggage.add()
    return ",".join(members)


def allowed_baggage(values: Collection[str], allowed: Collection[str]) -> str:
    """The members with allowed keys: those that came, and those that code has set in OpenTelemetry since."""
    set_since = {key: value for key, value in baggage.get_all().items() if key in allowed}
    members = [
        member
        for member in _rules.split_baggage(values)[0]
        if (key := _rules.baggage_key(member)) in allowed and key not in set_since
    ]
    context = Context()
    for key, value in set_since.items():
        context = baggage.set_baggage(key, value, context)
    carrier: dict[str, str] = {}
    _baggage.inject(carrier, context)
    return ",".join(_rules.split_baggage([*members, *carrier.values()])[0])


def context_of(received: Mapping[str, str]) -> Context:
    """The headers as an OpenTelemetry context, the parent of a span for example."""
    context = _trace.extract(received, Context())
    members, _ = _rules.split_baggage([received.get("baggage", "")])
    plain = ",".join(member.partition(";")[0] for member in members)  # which knows no properties
    return _baggage.extract({"baggage": plain}, context)
