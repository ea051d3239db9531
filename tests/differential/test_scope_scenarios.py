"""Scopes, and requests in them, behave the same on both implementations.

A process has one implementation of scopes, so two processes perform each command and report what came of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from differential.commands import changes, fields, inside, lives, makes, nested, requests, steps, uses
from differential.fuzz import LIMIT, few_or_many, indices, profile
from differential.scenario import PARTS
from differential.workers import WorkerPair
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from support.both import IMPLEMENTATIONS
from support.helpers import missing_accelerator

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

pytestmark = pytest.mark.timeout(LIMIT)

workers = WorkerPair()


def having(part: str) -> Callable[[T], T]:
    """That the processes have something of the kind."""
    return precondition(lambda self: self.there[part] > 0)  # type: ignore[return-value]


class ScopeScenarios(RuleBasedStateMachine):
    """Commands for both processes, which report what there is for the next ones."""

    def __init__(self) -> None:
        super().__init__()
        self.there = dict.fromkeys(PARTS, 0)

    def same(self, thread: int, what: Any) -> None:
        self.there = workers.same(thread, what)

    @rule(thread=indices, what=makes)
    def make(self, thread: int, what: Any) -> None:
        self.same(thread, what)

    @rule(thread=indices, what=uses)
    def use(self, thread: int, what: Any) -> None:
        self.same(thread, what)

    @rule(thread=indices, what=uses)
    def use_more(self, thread: int, what: Any) -> None:
        self.same(thread, what)

    @having("scopes")
    @rule(thread=indices, what=lives)
    def live(self, thread: int, what: Any) -> None:
        self.same(thread, what)

    @having("displaced")
    @rule(thread=indices, number=indices)
    def unbind(self, thread: int, number: int) -> None:
        self.same(thread, ["unbind", number])

    @having("kept")
    @rule(thread=indices, number=indices, name=fields)
    def use_kept(self, thread: int, number: int, name: str) -> None:
        self.same(thread, ["use_kept", number, name])

    @rule(thread=indices, what=requests(st.lists(inside, max_size=3)))
    def request(self, thread: int, what: Any) -> None:
        self.same(thread, what)

    @having("bodies")
    @rule(thread=indices, what=steps)
    def serve(self, thread: int, what: Any) -> None:
        self.same(thread, what)

    @having("iterators")
    @rule(thread=indices, number=indices)
    def step(self, thread: int, number: int) -> None:
        self.same(thread, ["step", number])

    @rule(thread=indices, what=nested(inside))
    def nest(self, thread: int, what: Any) -> None:
        self.same(thread, what)

    @rule(thread=indices, what=changes)
    def change(self, thread: int, what: Any) -> None:
        self.same(thread, what)

    def teardown(self) -> None:
        workers.anew()


@few_or_many
def test_scopes_and_requests_behave_the_same_on_both_implementations(examples: int) -> None:
    if len(IMPLEMENTATIONS) < 2:
        missing_accelerator()
    try:
        run_state_machine_as_test(ScopeScenarios, settings=profile(examples))
    finally:
        workers.end()
