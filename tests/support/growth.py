"""What repeated work leaves behind: memory blocks, and references to what the C accelerator shares."""

from __future__ import annotations

import gc
import logging
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from statistics import mode
from typing import Any

import pytest
from _pytest.logging import LogCaptureHandler

from tlctx._core import implementation, namespace

WARM_UP = 3
ROUNDS = 30
"""In the first ones the interpreter's own pools of free objects may still fill."""
LEAK = 0.5
"""Blocks, or references, that are left each time: a lost one is a whole one, but a count may be off by some."""
SHARED: dict[str, Any] = {
    "local": implementation.local,
    "ScopeBase": implementation.ScopeBase,
    "ScopedIterator": implementation.ScopedIterator,
    "Namespace": namespace.Namespace,
    "EndedNamespace": namespace.EndedNamespace,
    "ENDED": namespace.ENDED,
    "NO_VALUES": namespace.NO_VALUES,
    "the module": sys.modules.get("tlctx._core._accelerator"),
}
"""What the extension holds references to, each with a count that it could get wrong."""


@dataclass(frozen=True)
class Growth:
    """What one repetition of a workload leaves: blocks of memory, and references, by the name of what they are to."""

    workload: str
    blocks: float
    references: dict[str, float]

    @property
    def leaks(self) -> bool:
        return any(count >= LEAK for count in (self.blocks, *self.references.values()))

    def __str__(self) -> str:
        lost = [f"{count:+.2f} references to {name}" for name, count in self.references.items() if count >= LEAK]
        return ", ".join([f"{self.blocks:+.2f} blocks", *lost])


def counts() -> dict[str, int]:
    gc.collect()
    return {"blocks": sys.getallocatedblocks(), **{name: sys.getrefcount(one) for name, one in SHARED.items()}}


def grown(work: Callable[[], object]) -> dict[str, int]:
    """How much more there is after the work than before."""
    before = counts()
    work()
    after = counts()
    return {key: after[key] - before[key] for key in before}


def growth_of(name: str, workload: Callable[[], object], repetitions: int) -> Growth:
    """The least growth of up to `ROUNDS` rounds: what does not grow in one does not grow with the repetitions."""

    def repeat() -> None:
        for _ in range(repetitions):
            workload()

    for _ in range(WARM_UP):
        workload()
    counted = [grown(gc.collect) for _ in range(5)]  # one may be off, when something else lets go of a block
    of_counting = {key: mode(one[key] for one in counted) for key in counted[0]}
    found = Growth(name, inf, dict.fromkeys(SHARED, inf))
    for _ in range(ROUNDS):
        more = grown(repeat)
        each = {key: (more[key] - of_counting[key]) / repetitions for key in more}
        blocks = min(found.blocks, each.pop("blocks"))
        found = Growth(name, blocks, {key: min(found.references[key], each[key]) for key in each})
        if not found.leaks:
            break
    return found


class Repeating:
    """A plugin for pytest: each test's function runs again and again. `leaks` has those that leave something."""

    def __init__(self, repetitions: int) -> None:
        self.repetitions = repetitions
        self.leaks: list[Growth] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> bool:
        arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}

        def once() -> None:
            pyfuncitem.obj(**arguments)
            let_go(arguments)

        growth = growth_of(pyfuncitem.nodeid, once, self.repetitions)
        if growth.leaks:
            self.leaks.append(growth)
        return True


def let_go(fixtures: dict[str, Any]) -> None:
    """Have pytest and the library drop what they keep of a test: what it logged, patched and matched."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, LogCaptureHandler):
            handler.reset()
    if "monkeypatch" in fixtures:
        fixtures["monkeypatch"].undo()
    re.purge()
