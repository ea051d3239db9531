"""Fixtures of all tests."""

from __future__ import annotations

from typing import Any

import pytest

from tlctx._core import _local_py

IMPLEMENTATIONS: dict[str, Any] = {"python": _local_py.local}
"""Every twin of `local`, by the name that `tlctx.IMPLEMENTATION` has for it."""


@pytest.fixture(params=list(IMPLEMENTATIONS))
def implementation(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def local(implementation: str) -> Any:
    """The class, once for each implementation."""
    return IMPLEMENTATIONS[implementation]
