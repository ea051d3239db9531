"""Each test of behaviour runs on the implementation that its id names: see support/both.py."""

from __future__ import annotations

import importlib
import sys

import support.contexts
from support.helpers import in_thread, run_program

import tlctx


def test_an_import_finds_the_same_copy_at_any_time_and_on_any_thread(implementation: str) -> None:
    def look() -> str:
        from tlctx import IMPLEMENTATION

        assert importlib.import_module("tlctx") is tlctx
        return IMPLEMENTATION

    assert look() == in_thread(look) == tlctx.IMPLEMENTATION == implementation


def test_helpers_and_contexts_stand_on_the_same_copy() -> None:
    assert issubclass(support.contexts.UserCtx, tlctx.RequestContext)
    assert sys.modules["support.contexts"] is support.contexts


def test_a_program_that_a_test_starts_has_the_same_implementation(implementation: str) -> None:
    assert run_program("import tlctx; print(tlctx.IMPLEMENTATION)") == f"{implementation}\n"
