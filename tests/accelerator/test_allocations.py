"""Wherever an allocation fails, the error says so, the thread is as before, and the next request is served."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from support.both import IMPLEMENTATIONS
from support.helpers import PATIENCE, missing

TESTS = Path(__file__).parent.parent
WORK = (
    "make_locals", "use_attributes", "bind_by_hand", "open_scopes_by_with", "open_strict_scopes", "use_attached_scopes",
    "run_jobs",
    "answer_a_list", "answer_a_stream", "answer_a_generator", "answer_a_file", "answer_an_error",
    "fail_while_streaming", "answer_with_a_teardown",
)  # fmt: skip
"""What the program has under these names."""
ON_DEBUG_BUILDS = ("make_locals", "use_attributes", "bind_by_hand", "answer_a_list")
"""What makes few Python calls: where those run out of memory a debug build of CPython 3.11 finds faults of its own."""


@pytest.mark.slow
@pytest.mark.parametrize("implementation", sorted(IMPLEMENTATIONS))
@pytest.mark.parametrize("work", WORK)
def test_an_allocation_that_fails_is_a_memory_error_and_nothing_stays(work: str, implementation: str) -> None:
    if find_spec("_testcapi") is None:
        missing("_testcapi, which this interpreter does not ship")
    if hasattr(sys, "gettotalrefcount") and (work not in ON_DEBUG_BUILDS or implementation != "c"):
        pytest.skip("a debug build of the interpreter finds that it lost an error of its own")
    if work == "answer_with_a_teardown" and sys.version_info >= (3, 13):
        pytest.skip(
            "from CPython 3.13 on a list frees what it has no memory to append, and the interpreter does it again"
        )
    if work == "answer_a_generator" and (3, 12) <= sys.version_info < (3, 14):
        pytest.skip("CPython 3.12 and 3.13 themselves crash where making a generator runs out of memory")
    pure = "1" if implementation == "python" else ""
    process = subprocess.run(
        [sys.executable, "-m", "accelerator.failing_allocations", work],
        env={**os.environ, "TLCTX_PURE_PYTHON": pure, "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path[1:2]])},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert process.returncode == 0, process.stdout[-2000:] + process.stderr[-4000:]
    assert process.stdout.endswith("done\n")
