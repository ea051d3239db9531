"""Scopes, and requests in them, come to the same on both twins.

Of what stands on `local` a process has one kind, so two processes tell what came of each command.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from conftest import IMPLEMENTATIONS
from support.helpers import missing
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from differential.commands import changes, fields, inside, lives, makes, nested, requests, steps, uses
from differential.fuzz import LIMIT, indices, profile
from differential.story import PARTS
from differential.tellers import Tellers

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

pytestmark = pytest.mark.timeout(LIMIT)

tellers = Tellers()


def having(part: str) -> Callable[[T], T]:
    """That the processes have something of the kind."""
    return precondition(lambda self: self.there[part] > 0)  # type: ignore[return-value]


class Stories(RuleBasedStateMachine):
    """Commands to both processes, which tell what there is for the next ones."""

    def __init__(self) -> None:
        super().__init__()
        self.there = dict.fromkeys(PARTS, 0)

    def same(self, thread: int, what: Any) -> None:
        self.there = tellers.same(thread, what)

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
        tellers.anew()


def test_scopes_lead_to_the_same_on_both_twins() -> None:
    if len(IMPLEMENTATIONS) < 2:
        missing("the compiled twin")
    try:
        run_state_machine_as_test(Stories, settings=profile(100))
    finally:
        tellers.end()
