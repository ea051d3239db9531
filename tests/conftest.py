"""Fixtures of all tests. They import inside, so that they use the copy of tlctx that a test runs on."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from typing import Any

import pytest

pytest_plugins = ["pytester", "support.both"]
pytest.register_assert_rewrite("support.files")


def pytest_collection_finish() -> None:
    set_aside_what_is_here()


def set_aside_what_is_here() -> None:
    """Have a test's own gc.collect() not look at what is here by now each time: it stays until the end."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="module")
def _what_other_modules_left_is_set_aside() -> None:
    set_aside_what_is_here()


@pytest.fixture(autouse=True)
def _no_observer_is_left() -> Iterator[None]:
    """What a test has observe the scopes of this process would observe those of the tests after it too."""
    from tlctx._core import observers

    before = observers.active.copy()
    yield
    headers = sys.modules.get("tlctx.headers._inbound")
    while headers is not None and headers._assigners:  # it adds its own once, for as long as the process lives
        observers.remove_observer(headers._assigners.pop())
    assert observers.active == before


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
