"""What the tests do without a mutant: which pass, how long they take, and which lines each runs."""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mutation.mutants import ROOT

if TYPE_CHECKING:
    from mutation.mutants import Mutant
    from mutation.pool import Server

INTEGRATIONS = ("flask*", "file_wrappers", "event_loops", "greenlets", "gevent_local")
PATTERNS = ("unit/test_*.py", *(f"integrations/test_{name}.py" for name in INTEGRATIONS))
SLOW = 2.0
"""Seconds: a test that takes longer is run only where no other one runs the line, if its lines can be seen."""
UNSEEN = "tests/unit/test_interrupted_*.py::*"
"""Tests that trace tlctx themselves, so that coverage can't see which lines they run."""
PATIENCE = 900.0
Lines = dict[str, dict[int, set[str]]]


@dataclass
class Baseline:
    """The seconds of each test that passed, the lines that each ran, and the failed ones."""

    seconds: dict[str, float]
    lines: Lines
    failed: list[str]

    def covering(self, mutant: Mutant) -> list[str]:
        """The tests that meet the mutant, the fastest first.

        What only an import runs has the tests of the function or class that it is the head of, or of the whole file.
        Those whose lines can't be seen meet every mutant.
        """
        unseen = {test for test in self.seconds if fnmatchcase(test, UNSEEN)}
        lines = self.lines.get(mutant.file, {})
        for wanted in (mutant.lines, mutant.body, lines.keys()):
            found = set().union(*(lines.get(line, ()) for line in wanted)) & self.seconds.keys()
            if found:
                found |= unseen
                fast = {test for test in found if self.seconds[test] <= SLOW or test in unseen}
                return sorted(fast or found, key=lambda test: (self.seconds[test], test))
        return []

    def timeout(self, tests: list[str]) -> float:
        """The seconds after which they hang."""
        return max(10.0, 5 * sum(self.seconds[test] for test in tests))


def test_files() -> list[str]:
    """The files with the tests that are used."""
    tests = ROOT / "tests"
    return sorted(str(path.relative_to(ROOT)) for pattern in PATTERNS for path in tests.glob(pattern))


def record(server: Server, excluded: tuple[str, ...]) -> Baseline:
    """Run all tests twice: as they are, and measured."""
    files = test_files()
    tests = _run(server, arguments=files)["tests"]
    usable = {name: test for name, test in tests.items() if not any(fnmatchcase(name, each) for each in excluded)}
    failed = sorted(name for name, test in usable.items() if test["outcome"] == "failed")
    passed = {name: test["seconds"] for name, test in usable.items() if test["outcome"] == "passed"}
    measured = _run(server, arguments=files, measured=[f"{ROOT}/tlctx/*"])
    return Baseline(passed, _by_file(measured["lines"]), failed)


def failing(server: Server, tests: list[str]) -> list[str]:
    """Those of the tests that fail when they run in this order."""
    recorded = _run(server, arguments=files_of(tests), tests=tests)["tests"]
    return [test for test in tests if recorded.get(test, {}).get("outcome") != "passed"]


def files_of(tests: list[str]) -> list[str]:
    """The files in which they are, each once."""
    return list(dict.fromkeys(test.partition("::")[0] for test in tests))


def _run(server: Server, **job: Any) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path, log = Path(folder, "recorded.json"), Path(folder, "log.txt")
        answer = server.run(record=str(path), log=str(log), timeout=PATIENCE, **job)
        if not path.exists():
            raise RuntimeError(f"the tests did not run: {answer['status']}\n{log.read_text()}")
        return dict(json.loads(path.read_text()))


def _by_file(recorded: dict[str, dict[str, list[str]]]) -> Lines:
    lines: Lines = defaultdict(dict)
    for path, contexts in recorded.items():
        file = Path(path).relative_to(ROOT).as_posix()
        lines[file] = {int(line): set(tests) for line, tests in contexts.items()}
    return lines
