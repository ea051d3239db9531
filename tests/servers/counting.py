"""Counts the pairs of a server and a fault: how many ran, and why the others did not.

A test of a pair records as its properties which middleware serves (PAIR), and why it skips: because the table of faults
names a limit of the server (LIMIT), or because the server is not installed here (NOT_INSTALLED).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

PAIR, LIMIT, NOT_INSTALLED = "pair with", "limit of", "not installed"
MIDDLEWARES = {"tlctx": "tlctx", "naive": "the naive middleware, as a control"}
"""The middlewares whose pairs are counted: the name in a test, and the name for a reader."""


class Report(Protocol):
    """What pytest reports of a test."""

    @property
    def outcome(self) -> str: ...

    @property
    def user_properties(self) -> Sequence[tuple[str, object]]: ...


def count_pairs(reports: Iterable[Report]) -> list[str]:
    """One line for each middleware that served in a pair."""
    found: dict[str, list[Report]] = {name: [] for name in MIDDLEWARES}
    for report in reports:
        properties = dict(getattr(report, "user_properties", ()))  # what could not be collected has none
        if isinstance(middleware := properties.get(PAIR), str):
            found[middleware].append(report)
    return [f"fault pairs with {MIDDLEWARES[name]}: {describe(pairs)}" for name, pairs in found.items() if pairs]


def describe(pairs: list[Report]) -> str:
    passed, failed = (sum(pair.outcome == outcome for pair in pairs) for outcome in ("passed", "failed"))
    skipped = [dict(pair.user_properties) for pair in pairs if pair.outcome == "skipped"]
    limits = sum(LIMIT in properties for properties in skipped)
    absent = [str(properties[NOT_INSTALLED]) for properties in skipped if NOT_INSTALLED in properties]
    parts = [f"{passed + failed} ran, {passed} as they should, {failed} not"]
    if limits:
        parts.append(f"{limits} skipped as limits of their servers, marked in the table")
    if absent:
        parts.append(f"{len(absent)} skipped because a server is not installed here: {', '.join(sorted({*absent}))}")
    if others := len(skipped) - limits - len(absent):
        parts.append(f"{others} skipped for other reasons")
    return "; ".join(parts)
