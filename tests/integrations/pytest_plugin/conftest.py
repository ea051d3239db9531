"""Runs of pytest inside these tests."""

from __future__ import annotations

import pytest
from support.pytest_runs import Run, runner


@pytest.fixture
def run(pytester: pytest.Pytester) -> Run:
    return runner(pytester)
