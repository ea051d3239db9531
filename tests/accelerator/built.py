"""The extension module. Whoever imports this skips where it is not built; `test_built.py` says so, and fails in CI."""

from __future__ import annotations

import pytest

try:
    from tlctx._core import _accelerator
except ImportError:
    pytest.skip("needs the C accelerator", allow_module_level=True)

__all__ = ["_accelerator"]
