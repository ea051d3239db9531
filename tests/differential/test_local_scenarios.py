"""Both implementations of `local` take the same steps, and every outcome has to be the same."""

from __future__ import annotations

import gc
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from differential.classes import CLASS_ATTRIBUTES, KINDS, Strict
from differential.fuzz import LIMIT, few_or_many, indices, profile
from differential.side import Side
from differential.threads import JobThread
from differential.values import VALUES, Adopting, Deleting, Finalized, Payload, Strong, Writing, names
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from support.both import IMPLEMENTATIONS
from support.helpers import PATIENCE, missing_accelerator

if TYPE_CHECKING:
    from collections.abc import Callable

    from differential.side import Step

pytestmark = pytest.mark.timeout(LIMIT)


class LocalScenarios(RuleBasedStateMachine):
    """Both implementations, a few threads, and what may be done with them."""

    def __init__(self) -> None:
        super().__init__()
        gc.collect()
        gc.freeze()
        gc.disable()  # so that both lose their garbage in the same step
        self.interval = sys.getswitchinterval()
        sys.setswitchinterval(PATIENCE)
        self.threads = [JobThread(), JobThread(foreign=True)]
        self.visitor = JobThread()
        self.labels = iter(range(10**9))
        # One for both: when a thread ends, the interpreter empties its storages in an order of its own.
        strays = threading.local()
        self.sides = [Side(local, self.visitor, strays) for local in IMPLEMENTATIONS.values()]

    def teardown(self) -> None:
        for thread in (*self.threads, self.visitor):
            thread.end()
        del self.sides
        sys.setswitchinterval(self.interval)
        gc.enable()
        gc.unfreeze()

    def same(self, thread: int, step: Step) -> Any:
        """Take the step with both on one thread, and compare all that came of it."""
        outcomes = self.threads[thread % len(self.threads)].run(lambda: [side.outcome(step) for side in self.sides])
        self.compare(outcomes)
        return outcomes[0]

    def compare(self, outcomes: list[Any]) -> None:
        python, c = outcomes
        assert c == python
        assert self.sides[1].journal == self.sides[0].journal
        assert self.sides[1].living == self.sides[0].living

    def number(self, index: int) -> int:
        return index % len(self.sides[0].instances)

    def some(self) -> bool:
        return bool(self.sides[0].instances)

    # Locals

    @rule(thread=indices, kind=st.sampled_from(KINDS), count=st.integers(0, 2), word=st.booleans())
    def make(self, thread: int, kind: str, count: int, word: bool) -> None:
        arguments, keywords = tuple(range(count)), {"word": 1} if word else {}

        def step(side: Side) -> None:
            side.instances.append(side.classes[kind](*arguments, **keywords))

        if len(self.sides[0].instances) < 5:
            self.same(thread, step)

    @precondition(some)
    @rule(thread=indices, index=indices)
    def drop(self, thread: int, index: int) -> None:
        number = self.number(index)
        self.same(thread, lambda side: side.instances.pop(number) and None)

    @rule(failure=st.sampled_from([None, ValueError, AttributeError, KeyboardInterrupt]))
    def from_here_on_init_raises(self, failure: type[BaseException] | None) -> None:
        for side in self.sides:
            side.failure = failure

    # Attributes

    @precondition(some)
    @rule(thread=indices, index=indices, name=names)
    def read(self, thread: int, index: int, name: str) -> None:
        number = self.number(index)
        self.same(thread, lambda side: getattr(side.instances[number], name))

    @precondition(some)
    @rule(thread=indices, index=indices, name=names)
    def read_with_a_default(self, thread: int, index: int, name: str) -> None:
        number = self.number(index)
        self.same(
            thread, lambda side: (hasattr(side.instances[number], name), getattr(side.instances[number], name, 0))
        )

    @precondition(some)
    @rule(thread=indices, index=indices, name=names, value=st.sampled_from(sorted(VALUES)))
    def write(self, thread: int, index: int, name: str, value: str) -> None:
        number, label = self.number(index), f"payload {next(self.labels)}"

        def step(side: Side) -> None:
            owner = side.instances[number]
            setattr(owner, name, VALUES[value](side, label, owner))

        self.same(thread, step)

    @precondition(some)
    @rule(thread=indices, index=indices, name=names)
    def delete(self, thread: int, index: int, name: str) -> None:
        number = self.number(index)
        self.same(thread, lambda side: delattr(side.instances[number], name))

    @precondition(some)
    @rule(
        thread=indices,
        index=indices,
        name=st.sampled_from([5, None, b"x", (), [], "_local__impl"]),
        use=st.sampled_from(["__setattr__", "__delattr__"]),
    )
    def use_what_is_no_name(self, thread: int, index: int, name: Any, use: str) -> None:
        number, values = self.number(index), (1,) if use == "__setattr__" else ()
        self.same(thread, lambda side: getattr(side.instances[number], use)(name, *values))

    @precondition(some)
    @rule(thread=indices, index=indices)
    def list_attributes(self, thread: int, index: int) -> None:
        number = self.number(index)

        def step(side: Side) -> Any:
            owner = side.instances[number]
            return sorted({*map(repr, dir(owner))} - {*map(repr, dir(type(owner)))}), vars(owner)

        self.same(thread, step)

    @precondition(some)
    @rule(thread=indices, index=indices)
    def keep_its_dict(self, thread: int, index: int) -> None:
        number = self.number(index)
        self.same(thread, lambda side: side.kept.append(vars(side.instances[number])))

    @precondition(lambda self: self.sides[0].kept)
    @rule(
        thread=indices, index=indices, name=names, use=st.sampled_from(["write", "delete", "clear", "read", "let go"])
    )
    def use_a_kept_dict(self, thread: int, index: int, name: str, use: str) -> None:
        number = index % len(self.sides[0].kept)
        uses: dict[str, Step] = {
            "write": lambda side: side.kept[number].__setitem__(name, "into the dict"),
            "delete": lambda side: side.kept[number].pop(name, "nothing"),
            "clear": lambda side: side.kept[number].clear(),
            "read": lambda side: side.kept[number],
            "let go": lambda side: side.kept.pop(number) and None,
        }
        self.same(thread, uses[use])

    # Classes

    @rule(thread=indices, kind=st.sampled_from(KINDS[1:]), name=names, what=st.sampled_from(sorted(CLASS_ATTRIBUTES)))
    def put_on_the_class(self, thread: int, kind: str, name: str, what: str) -> None:
        if not name.startswith("__"):
            self.same(thread, lambda side: setattr(side.classes[kind], name, CLASS_ATTRIBUTES[what](side)))

    @rule(thread=indices, kind=st.sampled_from(KINDS[1:]), name=names)
    def take_off_the_class(self, thread: int, kind: str, name: str) -> None:
        if not name.startswith("__"):
            self.same(thread, lambda side: delattr(side.classes[kind], name))

    @rule(
        thread=indices,
        kind=st.sampled_from(["special", "slotted", "first"]),
        name=st.sampled_from(["sets", "deletes", "gets", "both"]),
        method=st.sampled_from(["__set__", "__get__", "__delete__"]),
        there=st.booleans(),
    )
    def change_the_class_of_a_descriptor(self, thread: int, kind: str, name: str, method: str, there: bool) -> None:
        def step(side: Side) -> None:
            descriptor = type(vars(side.classes[kind])[name])
            if there:
                setattr(descriptor, method, lambda *_: "grown")
            else:
                delattr(descriptor, method)

        self.same(thread, step)

    @precondition(some)
    @rule(thread=indices, index=indices, kind=st.sampled_from(KINDS))
    def become(self, thread: int, index: int, kind: str) -> None:
        number = self.number(index)
        self.same(thread, lambda side: setattr(side.instances[number], "__class__", side.classes[kind]))

    # What is behind a local

    @precondition(some)
    @rule(thread=indices, index=indices)
    def look_at_the_map(self, thread: int, index: int) -> None:
        number = self.number(index)
        self.same(thread, lambda side: side.dicts(number))

    @precondition(some)
    @rule(
        thread=indices,
        index=indices,
        use=st.sampled_from(["get_dict", "create_dict", "swap none", "swap in", "swap strict in", "peek", "swap both"]),
    )
    def use_the_map(self, thread: int, index: int, use: str) -> None:
        number, label = self.number(index), f"payload {next(self.labels)}"

        def step(side: Side) -> Any:
            owner = side.instances[number]
            module, impl = sys.modules[side.local.__module__], owner._local__impl
            uses: dict[str, Callable[[], Any]] = {
                "get_dict": impl.get_dict,
                "create_dict": impl.create_dict,
                "swap none": lambda: impl.swap_dict(None),
                "swap in": lambda: impl.swap_dict({"x": Writing(side, label, owner)}),
                "swap strict in": lambda: module.swap_dict(owner, Strict(x=Payload(side, label, owner))),
                "peek": lambda: module.peek_dict(owner),
                "swap both": lambda: module.swap_dict(owner, module.swap_dict(owner, {})),
            }
            return uses[use]()

        self.same(thread, step)

    @precondition(some)
    @rule(thread=indices, index=indices, other=indices)
    def forget(self, thread: int, index: int, other: int) -> None:
        number, key = self.number(index), self.threads[other % len(self.threads)].key
        self.same(thread, lambda side: side.instances[number]._local__impl.forget(key))

    # Threads, and the collector

    @rule(foreign=st.booleans())
    def begin_a_thread(self, foreign: bool) -> None:
        if len(self.threads) < 4:
            self.threads.append(JobThread(foreign=foreign))

    @precondition(lambda self: len(self.threads) > 1)
    @rule(thread=indices)
    def end_a_thread(self, thread: int) -> None:
        self.threads.pop(thread % len(self.threads)).end()
        self.compare([None, None])

    # From CPython 3.13 on, a thread's storages end in an order that may put the thread's record between the two sides'.
    @precondition(lambda self: self.some() and sys.version_info < (3, 13))
    @rule(thread=indices, index=indices, kind=st.sampled_from([Finalized, Writing, Deleting, Adopting, Strong]))
    def store_what_uses_it_when_the_threads_storage_goes(self, thread: int, index: int, kind: type[Finalized]) -> None:
        number, label = self.number(index), f"stray {next(self.labels)}"

        def step(side: Side) -> None:
            setattr(side.strays, f"of {id(side)}", kind(side, label, side.instances[number]))

        self.same(thread, step)

    @rule(thread=indices)
    def collect(self, thread: int) -> None:
        self.threads[thread % len(self.threads)].run(gc.collect)
        self.compare([None, None])


@few_or_many
def test_local_behaves_the_same_on_both_implementations(examples: int) -> None:
    if len(IMPLEMENTATIONS) < 2:
        missing_accelerator()
    run_state_machine_as_test(LocalScenarios, settings=profile(examples))
