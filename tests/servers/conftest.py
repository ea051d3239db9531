"""Says at the end how many pairs of a server and a fault ran, and which ones do not exist, with the reason."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    def pairs(outcome: str) -> Counter[bool]:
        reports = terminalreporter.getreports(outcome)
        return Counter("control" in report.keywords for report in reports if "pair" in report.keywords)

    passed, failed, skipped = pairs("passed"), pairs("failed"), pairs("skipped")
    for control, name in ((False, "tlctx"), (True, "the naive middleware, as a control")):
        ran = passed[control] + failed[control]
        if ran or skipped[control]:
            terminalreporter.write_line(
                f"fault pairs with {name}: {ran} ran, {passed[control]} as they should, {failed[control]} not; "
                f"{skipped[control]} marked in the table as limits of their servers"
            )
