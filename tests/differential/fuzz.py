"""How many examples are tried: a few, always the same, and a hundred in tests marked `slow`, for `nox -s c`.

`TLCTX_FUZZ=2000` tries that many, new ones each time.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

FUZZ = int(os.environ.get("TLCTX_FUZZ", "0"))
LIMIT = 2 * FUZZ + 480
"""Seconds that a test of so many examples may take; hypothesis takes up to 300 to make a failing one shorter."""

indices = st.integers(0, 3)
"""The number of a thread, a local, a scope, a body; it is taken modulo what there is."""


def profile(examples: int) -> settings:
    return settings(
        max_examples=FUZZ or examples,
        stateful_step_count=50,
        derandomize=not FUZZ,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
    )


few_or_many = pytest.mark.parametrize("examples", [5, pytest.param(100, marks=pytest.mark.slow)])
