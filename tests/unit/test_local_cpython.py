"""CPython's own suite for thread-locals, run against ours. The interpreter ships it as `test.test_threading_local`."""

from __future__ import annotations

import importlib
import unittest
from typing import Any

from support.helpers import missing

import tlctx

try:
    cpython: Any = importlib.import_module("test.test_threading_local")
except ImportError:  # some distributions leave the `test` package out
    cpython = None

if cpython is None:

    def test_cpythons_own_suite() -> None:
        missing("test.test_threading_local, which this interpreter does not ship")

else:

    class TestLocal(unittest.TestCase, cpython.BaseLocalTest):  # type: ignore[misc]
        _local = tlctx.local
