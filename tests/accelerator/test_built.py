"""The other tests of this folder have an accelerator to test."""

from __future__ import annotations

import importlib.util

from support.helpers import missing_accelerator


def test_the_c_accelerator_is_built() -> None:
    if importlib.util.find_spec("tlctx._core._accelerator") is None:
        missing_accelerator()
