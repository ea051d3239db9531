"""Fixtures of all tests."""

from __future__ import annotations

import os
import sysconfig
from typing import Any

import pytest

from tlctx._core import _local_py

try:
    from tlctx._core import _local_c
except ImportError:
    if os.environ.get("CI") == "true" and not sysconfig.get_config_var("Py_GIL_DISABLED"):
        raise  # or the tests would run on one twin only, and look as if on both
    _local_c = None  # type: ignore[assignment]

IMPLEMENTATIONS: dict[str, Any] = {"python": _local_py.local}
"""Every twin of `local` that is here, by the name that `tlctx.IMPLEMENTATION` has for it."""
if _local_c is not None:
    IMPLEMENTATIONS["c"] = _local_c.local


@pytest.fixture(params=list(IMPLEMENTATIONS))
def implementation(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def local(implementation: str) -> Any:
    """The class, once for each implementation."""
    return IMPLEMENTATIONS[implementation]
