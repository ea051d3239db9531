"""The workflows follow their schema, call sessions that exist, and agree with pyproject.toml. None runs here."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from support.checkout import CHECKOUT
from support.helpers import PATIENCE, missing

pytestmark = pytest.mark.lint

WORKFLOWS = sorted((CHECKOUT / ".github" / "workflows").glob("*.yml"))
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
NOXFILE = ast.parse((CHECKOUT / "noxfile.py").read_text())


def load(path: Path) -> Any:
    try:
        from ruamel.yaml import YAML
    except ImportError:
        missing("check-jsonschema")
    return YAML(typ="safe").load(path.read_text())


def check(path: Path) -> subprocess.CompletedProcess[str]:
    if find_spec("check_jsonschema") is None:
        missing("check-jsonschema")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", str(path)]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)


def sessions() -> set[str]:
    return {
        node.name
        for node in NOXFILE.body
        if isinstance(node, ast.FunctionDef) and any("nox.session" in ast.unparse(by) for by in node.decorator_list)
    }


def pythons_of_nox() -> list[str]:
    (found,) = (
        ast.literal_eval(node.value)
        for node in NOXFILE.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "PYTHONS"
    )
    return list(found)


def test_there_are_the_two_of_them() -> None:
    assert [path.name for path in WORKFLOWS] == ["ci.yml", "wheels.yml"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_it_follows_the_schema(path: Path) -> None:
    checked = check(path)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_a_workflow_that_does_not_follow_the_schema_is_seen(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(WORKFLOWS[0].read_text().replace("runs-on:", "runs-at:"))
    checked = check(wrong)
    assert checked.returncode == 1
    assert "runs-at" in checked.stdout + checked.stderr


def test_ci_runs_sessions_that_nox_has() -> None:
    called = set()
    for job in load(CHECKOUT / ".github/workflows/ci.yml")["jobs"].values():
        matrix = job["strategy"]["matrix"]
        commands = [step["run"] for step in job["steps"] if step.get("run", "").startswith("nox -s")]
        assert len(commands) == 1
        if "matrix.session" in commands[0]:
            called |= set(matrix["session"])
        else:
            called.add(commands[0].removeprefix("nox -s "))
    assert called <= sessions()
    assert {"quick", "tests", "pure", "servers", "c", "lint", "docs", "coverage"} <= called


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_each_action_is_pinned_and_no_token_is_left_in_the_checkout(path: Path) -> None:
    steps = [step for job in load(path)["jobs"].values() for step in job["steps"] if "uses" in step]
    assert steps
    for step in steps:
        assert re.fullmatch(r"[\w.-]+/[\w.-]+@(v\d+|release/v\d+|[0-9a-f]{40})", step["uses"]), step["uses"]
        if step["uses"].startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_read_the_code_and_only_the_publisher_more(path: Path) -> None:
    workflow = load(path)
    assert workflow["permissions"] == {"contents": "read"}
    more = {name: job["permissions"] for name, job in workflow["jobs"].items() if "permissions" in job}
    assert more == ({"publish": {"id-token": "write"}} if path.name == "wheels.yml" else {})
    assert all(job["timeout-minutes"] for job in workflow["jobs"].values())


def test_every_list_of_pythons_is_the_same() -> None:
    pythons = pythons_of_nox()
    prefix = "Programming Language :: Python :: "
    classifiers = [line.removeprefix(prefix) for line in PROJECT["project"]["classifiers"] if line.startswith(prefix)]
    assert [line for line in classifiers if "." in line] == pythons
    assert PROJECT["tool"]["cibuildwheel"]["build"] == [f"cp{python.replace('.', '')}-*" for python in pythons]
    assert PROJECT["project"]["requires-python"] == f">={pythons[0]}"
    for job in load(CHECKOUT / ".github/workflows/ci.yml")["jobs"].values():
        assert job["strategy"]["matrix"].get("python", pythons) == pythons


def test_the_flask_that_is_tested_as_the_oldest_is_the_oldest_that_is_allowed() -> None:
    (allowed,) = PROJECT["project"]["optional-dependencies"]["flask"]
    oldest, *_ = PROJECT["dependency-groups"]["oldest_flask"]
    assert oldest == f"flask[async]=={allowed.removeprefix('flask>=')}.0"


def test_one_version_of_the_linter_is_named_everywhere() -> None:
    pinned = PROJECT["tool"]["ruff"]["required-version"]
    (installed,) = (name for name in PROJECT["project"]["optional-dependencies"]["dev"] if name.startswith("ruff"))
    assert installed == f"ruff{pinned}"
    repositories = load(CHECKOUT / ".pre-commit-config.yaml")["repos"]
    (revision,) = (repository["rev"] for repository in repositories if "ruff" in repository["repo"])
    assert revision == f"v{pinned.removeprefix('==')}"
