"""CPython's own suite for thread-locals, run against ours. The interpreter ships it as `test.test_threading_local`."""

from __future__ import annotations

import importlib
import unittest
from typing import Any

from conftest import IMPLEMENTATIONS
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

    class TestPython(unittest.TestCase, cpython.BaseLocalTest):  # type: ignore[misc]
        _local = IMPLEMENTATIONS["python"]

    if "c" in IMPLEMENTATIONS:

        class TestC(unittest.TestCase, cpython.BaseLocalTest):  # type: ignore[misc]
            _local = IMPLEMENTATIONS["c"]


def test_the_suite_covers_every_implementation() -> None:
    covered = {case._local for case in (globals().get("TestC"), globals().get("TestPython")) if case}
    assert cpython is None or covered == set(IMPLEMENTATIONS.values())
    assert tlctx.local in IMPLEMENTATIONS.values()
