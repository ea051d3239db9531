"""Fixtures of all tests."""

from __future__ import annotations

from typing import Any

import pytest

pytest_plugins = ["support.both"]


@pytest.fixture
def implementation() -> str:
    """The implementation that the test runs on."""
    import tlctx  # of two copies the one that is active now: see support/both.py

    return tlctx.IMPLEMENTATION


@pytest.fixture
def local() -> Any:
    """`tlctx.local`, of the implementation that the test runs on."""
    import tlctx

    return tlctx.local


def __getattr__(name: str) -> Any:
    if name == "IMPLEMENTATIONS":
        from support.both import IMPLEMENTATIONS

        return IMPLEMENTATIONS
    raise AttributeError(name)
