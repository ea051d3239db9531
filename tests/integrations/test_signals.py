"""An exception from outside, a signal handler's, at any point of tlctx's code: nothing of a request is left behind."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.struck_runs import RUNS

import tlctx

SEED = int(os.environ.get("TLCTX_STRIKE_SEED", "0")) or random.randrange(1, 10**6)
STRIKES = int(os.environ.get("TLCTX_STRIKES", "0")) or 10**6
"""At how many points of a run the long test strikes: at all of them, unless it is told otherwise."""
TESTS = Path(__file__).resolve().parent.parent

LEFT_TO_THE_NEXT: dict[str, set[str]] = {
    "c": set(),
    "python": {f"{block}.__exit__, {kind}" for block in ("Block", "bound") for kind in ("entry", "line")},
}
"""Places where Python itself leaves nothing to be done: the thread's next scope does it. The documentation has them."""


def outcome_of(program: str, *arguments: Any) -> dict[str, Any]:
    """What one of the programs prints."""
    done = subprocess.run(
        [sys.executable, "-m", f"support.{program}", *map(str, arguments)],
        cwd=TESTS, capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    outcome: dict[str, Any] = json.loads(done.stdout)
    shown = {**outcome, "faults": len(outcome["faults"])}
    sys.stdout.write(f"{program} {arguments}, {tlctx.IMPLEMENTATION}: {shown}\n")
    assert not outcome["faults"], "\n".join(outcome["faults"])
    return outcome


def strike(name: str, most: int) -> None:
    outcome = outcome_of("struck", name, SEED, most)
    assert outcome["reached"] >= 0.9 * outcome["struck"] > 0
    assert set(outcome["left"]) <= LEFT_TO_THE_NEXT[tlctx.IMPLEMENTATION]


@pytest.mark.parametrize("name", ["error_with_teardown", "stream_with_teardown", "nested_scope", "a_block", "a_job"])
def test_an_exception_at_some_points_leaves_nothing_behind(name: str) -> None:
    strike(name, 10)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", RUNS)
def test_an_exception_at_any_point_leaves_nothing_behind(name: str) -> None:
    strike(name, STRIKES)


def test_real_signals_leave_nothing_behind() -> None:
    assert outcome_of("timed", 1, SEED)["struck inside"] > 0


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_real_signals_leave_nothing_behind_for_a_minute() -> None:
    outcome = outcome_of("timed", 60, SEED)
    assert outcome["struck inside"] > 0
    places = {place.partition(",")[0] for place in LEFT_TO_THE_NEXT[tlctx.IMPLEMENTATION]}
    assert set(outcome["left"]) <= places
