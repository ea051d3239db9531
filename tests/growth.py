"""What repeated work leaves behind: memory blocks, and references to what the compiled twin shares."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Any

from tlctx._core import local, namespace

WARM_UP = 3
ROUNDS = 30
"""In the first ones the interpreter's own pools of free objects may still fill."""
LEAK = 0.5
"""Blocks, or references, that are left each time: a lost one is a whole one, but a count may be off by some."""
SHARED: dict[str, Any] = {
    "local": local.local,
    "Binding": local.Binding,
    "Steps": local.Steps,
    "Gate": local.Gate,
    "Namespace": namespace.Namespace,
    "EndedNamespace": namespace.EndedNamespace,
    "ENDED": namespace.ENDED,
    "NO_VALUES": namespace.NO_VALUES,
    "the module": sys.modules.get("tlctx._core._local_c"),
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
        grown = [f"{count:+.2f} references to {name}" for name, count in self.references.items() if count >= LEAK]
        return ", ".join([f"{self.blocks:+.2f} blocks", *grown])


def counts() -> dict[str, int]:
    gc.collect()
    return {"blocks": sys.getallocatedblocks(), **{name: sys.getrefcount(one) for name, one in SHARED.items()}}


def growth_of(name: str, workload: Callable[[], object], repetitions: int) -> Growth:
    """The least growth of up to `ROUNDS` rounds: what does not grow in one does not grow with the repetitions."""
    for _ in range(WARM_UP):
        workload()
    found = Growth(name, inf, dict.fromkeys(SHARED, inf))
    for _ in range(ROUNDS):
        before = counts()
        for _ in range(repetitions):
            workload()
        after = counts()
        grown = {key: (after[key] - before[key]) / repetitions for key in before}
        blocks = min(found.blocks, grown.pop("blocks"))
        found = Growth(name, blocks, {key: min(found.references[key], grown[key]) for key in grown})
        if not found.leaks:
            break
    return found
