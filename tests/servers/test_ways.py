"""All the ways out of a request, crossed at once: each reading is right, and a naive context is found out. In short."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from servers.ways_tally import FOREIGN, MISSING, RIGHT, split
from support.helpers import PATIENCE, missing

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]  # a worker takes its time to start, and to stop

WAYS = Path(__file__).parent / "ways.py"
PLACES = {
    "answer", "view", "endpoint in a thread", "async view", "streamed body", "async streamed body", "background task",
    "job", "job of a job", "mapped job", "thread", "thread of a job", "wrapped function", "wrapped function of a job",
    "block in a job", "block in a coroutine", "snapshot in a later request", "job that outlives its request",
    "asyncio task", "gathered coroutine", "to_thread", "to_thread, with jobs", "run_in_executor", "sync_to_async",
    "wrapped in run_in_executor", "job of an async view", "task", "first task of a chain", "second task of a chain",
    "task of a task", "job of a task", "wrapped function of a task", "teardown",
}  # fmt: skip
"""Where a value has to be."""
OUTSIDE = {"a plain pool", "run_in_executor without a context", "a worker's plain pool"}
"""Where none may be."""
NAIVELY_RIGHT = {"view", "async streamed body"}
"""Where values of the thread are right too, or may be."""


@pytest.fixture(autouse=True)
def _parts() -> None:
    for module in ("asgiref", "celery", "redis", "starlette", "uvicorn"):
        if importlib.util.find_spec(module) is None:
            missing(module)
    if shutil.which("redis-server") is None:
        missing("a Redis server: Debian's package is named redis-server")


def cross(tmp_path: Path, *options: str) -> tuple[subprocess.CompletedProcess[str], dict[str, Counter[str]]]:
    """Run the command. Returns how it ended, and the outcomes of each place."""
    numbers = tmp_path / "numbers"
    command = [sys.executable, str(WAYS), "--minutes=2", f"--json={numbers}", *options]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=4 * PATIENCE, check=False)
    counts: dict[str, Any] = json.loads(numbers.read_text())["counts"] if numbers.exists() else {}
    places: dict[str, Counter[str]] = {}
    for name, number in counts.items():
        outcome, place, _ = split(name)
        if place:
            places.setdefault(place, Counter())[outcome] += number
    return ran, places


def test_where_all_ways_are_crossed_each_reading_is_that_of_its_own_request(tmp_path: Path) -> None:
    ran, places = cross(tmp_path, "--values=2000")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert set(places) == PLACES | OUTSIDE
    assert {place for place, outcomes in places.items() if set(outcomes) != {RIGHT}} == set()
    assert " 0 foreign, 0 missing, " in ran.stdout


@pytest.mark.control
def test_where_all_ways_are_crossed_values_of_the_thread_are_wrong_on_each_of_them(tmp_path: Path) -> None:
    ran, places = cross(tmp_path, "--values=500", "--middleware=naive")
    assert ran.returncode == 1, ran.stdout + ran.stderr
    right = {place for place, outcomes in places.items() if set(outcomes) == {RIGHT}}
    assert right - NAIVELY_RIGHT == OUTSIDE
    assert sum(outcomes[FOREIGN] for outcomes in places.values()) > 0
    assert "missing in answer, where it had to be 'starlette-" in ran.stdout


@pytest.mark.control
def test_where_all_ways_are_crossed_values_of_all_threads_are_seen_where_none_may_be(tmp_path: Path) -> None:
    ran, places = cross(tmp_path, "--values=500", "--middleware=global")
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert {place for place in OUTSIDE if places[place][FOREIGN]} == OUTSIDE - {"a worker's plain pool"}
    assert places["job"][FOREIGN] > 0
    assert places["task"][MISSING] > 0
