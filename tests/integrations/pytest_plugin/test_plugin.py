"""What the plugin loads, and that it works beside others."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from support.checkout import CHECKOUT
from support.helpers import run_program
from support.pytest_runs import Run

USES = """
    def test_scope(tlctx_scope): ...
    def test_client(tlctx_client, tlctx_override):
        tlctx_override(user="ann")
        assert tlctx_client.get("/").text.startswith("ann")
"""


def test_it_is_an_entry_point() -> None:
    project = tomllib.loads(Path(CHECKOUT, "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"tlctx": "tlctx.pytest_plugin"}


@pytest.mark.servers
def test_loading_it_loads_no_framework_and_only_this_one_module_of_its_own() -> None:
    loaded = run_program(
        """
        import sys, pytest
        before = set(sys.modules)
        import tlctx
        core = set(sys.modules)
        import tlctx.pytest_plugin
        print(sorted(set(sys.modules) - core), bool({"flask", "werkzeug", "asyncio"} & (core - before)))
        """
    )
    assert loaded == "['tlctx.pytest_plugin'] False\n"


def test_a_run_that_does_not_use_it_has_no_observer_and_no_hooks_of_it_around_its_tests(run: Run) -> None:
    run(
        """
        import sys
        from tlctx._core import observers

        def test_unused(request):
            assert observers.active == []
            assert not request.config.pluginmanager.has_plugin("tlctx.pytest_plugin._running")

        def test_used(tlctx_scope):
            assert len(observers.active) == 1

        def test_after():
            assert observers.active == []
        """
    ).assert_outcomes(passed=3)


@pytest.mark.servers
def test_it_runs_under_xdist_and_randomly(run: Run) -> None:
    pytest.importorskip("xdist", reason="needs pytest-xdist")
    pytest.importorskip("pytest_randomly", reason="needs pytest-randomly")
    result = run(USES, "-p", "xdist", "-p", "pytest_randomly", "-n", "2")
    result.assert_outcomes(passed=2)
