"""Metrics that are kept as they are handed on."""

from __future__ import annotations

from tlctx.metrics._requests import Ended, Metrics


class Kept(Metrics):
    """Keeps what it is told of each request, and how often it was asked to set the rest."""

    def __init__(self, overdue_after: float = 30.0) -> None:
        super().__init__(overdue_after)
        self.ended: list[Ended] = []
        self.samples = 0
        self._watch()

    def _hand_on(self, ended: Ended) -> None:
        self.ended.append(ended)

    def _sample(self) -> None:
        self.samples += 1

    def names(self) -> list[tuple[str, str, str]]:
        """Method, route and outcome of each request that has ended."""
        self.flush()
        return [(ended.method, ended.route, ended.outcome) for ended in self.ended]
