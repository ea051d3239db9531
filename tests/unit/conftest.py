"""Fixtures of the tests of behaviour. They import inside, so that they use the copy of tlctx that a test runs on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture
def ctx() -> Any:
    from support.contexts import UserCtx

    return UserCtx()


@pytest.fixture
def log() -> Iterator[Any]:
    """What watchdogs log; none is left after the test."""
    from support.watchdog import logged

    with logged() as log:
        yield log
