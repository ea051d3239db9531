"""Says at the end how many pairs of a server and a fault ran, and why the others did not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servers.counting import count_pairs

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    reports = [report for outcome in ("passed", "failed", "skipped") for report in terminalreporter.getreports(outcome)]
    for line in count_pairs(reports):
        terminalreporter.write_line(line)
