"""Plugins for the pytest that runs in a child of the server."""

from __future__ import annotations

import gc
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from coverage import Coverage


class Tidy:
    """Has each test begin without the garbage of others, or the collector would find it in the middle."""

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self) -> None:
        gc.collect()
        gc.freeze()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self) -> Iterator[None]:
        gc.collect()
        return (yield)


class Selection:
    """Runs the tests with these ids, in this order."""

    def __init__(self, ids: list[str]) -> None:
        self._place = {id_: place for place, id_ in enumerate(ids)}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        chosen = [item for item in items if item.nodeid in self._place]
        if len(chosen) != len(self._place):
            raise pytest.UsageError(f"{len(self._place) - len(chosen)} tests are not there")
        items[:] = sorted(chosen, key=lambda item: self._place[item.nodeid])


class Recorder:
    """Writes down how long each test took and how it ended, and which lines it ran if there is a `coverage`."""

    def __init__(self, path: Path, coverage: Coverage | None) -> None:
        self._path = path
        self._coverage = coverage
        self._tests: dict[str, dict[str, Any]] = {}

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        if self._coverage is None:
            return (yield)
        tracer = sys.gettrace()
        self._coverage.switch_context(item.nodeid)
        try:
            return (yield)
        finally:
            sys.settrace(tracer)  # the test may have set another
            self._coverage.switch_context("")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        test = self._tests.setdefault(report.nodeid, {"seconds": 0.0, "outcome": "passed"})
        test["seconds"] += report.duration
        if report.outcome != "passed" and test["outcome"] != "failed":
            test["outcome"] = report.outcome

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._tests[report.nodeid] = {"seconds": 0.0, "outcome": "failed"}

    def pytest_sessionfinish(self) -> None:
        self._path.write_text(json.dumps({"tests": self._tests, "lines": self._lines()}))

    def _lines(self) -> dict[str, dict[int, list[str]]]:
        if self._coverage is None:
            return {}
        self._coverage.stop()
        data = self._coverage.get_data()
        return {file: data.contexts_by_lineno(file) for file in data.measured_files()}
