"""Fixtures of all tests. They import inside, so that they use the copy of tlctx that a test runs on."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest

pytest_plugins = ["support.both"]
pytest.register_assert_rewrite("support.files")


def pytest_collection_finish() -> None:
    # What is here by now stays until the end: a test's own gc.collect() need not look at it each time.
    gc.collect()
    gc.freeze()


@pytest.fixture
def implementation(request: pytest.FixtureRequest) -> str:
    """The implementation that the test has to run on."""
    from support.both import implementation_of

    return implementation_of(request.node)


@pytest.fixture
def local() -> Any:
    """`tlctx.local`, of the implementation that the test runs on."""
    import tlctx

    return tlctx.local


@pytest.fixture
def nothing_is_left() -> Iterator[None]:
    """After the test no scope of `tlctx.ctx` is bound."""
    from support.requests import nothing_is_current

    yield
    gc.collect()
    assert nothing_is_current()


def __getattr__(name: str) -> Any:
    if name == "IMPLEMENTATIONS":
        from support.both import IMPLEMENTATIONS

        return IMPLEMENTATIONS
    raise AttributeError(name)
