"""Fixtures of the tests of behaviour. They import inside, so that they use the copy of tlctx that a test runs on."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def ctx() -> Any:
    from support.contexts import UserCtx

    return UserCtx()
