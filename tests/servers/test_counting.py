"""The closing lines count every pair once, and name the reason for each that did not run."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from servers.counting import LIMIT, NOT_INSTALLED, PAIR, count_pairs
from servers.fault_table import FAULTS
from servers.server_table import SERVERS, Server
from servers.test_faults import check_pair
from servers.visit import Fault, reason


def report(outcome: str, middleware: str = "tlctx", **properties: str) -> Any:
    recorded = [(PAIR, middleware), *((name.replace("_", " "), value) for name, value in properties.items())]
    return SimpleNamespace(outcome=outcome, user_properties=recorded)


def test_limits_and_servers_that_are_not_installed_are_counted_apart() -> None:
    reports = [
        report("passed"),
        report("passed"),
        report("failed"),
        report("skipped", limit_of="granian"),
        report("skipped", not_installed="uwsgi"),
        report("skipped", not_installed="granian"),
        report("skipped", not_installed="uwsgi"),
    ]
    (line,) = count_pairs(reports)
    assert line.split("; ") == [
        "fault pairs with tlctx: 3 ran, 2 as they should, 1 not",
        "1 skipped as limits of their servers, marked in the table",
        "3 skipped because a server is not installed here: granian, uwsgi",
    ]


def test_controls_are_counted_on_a_line_of_their_own() -> None:
    assert count_pairs([report("passed"), report("failed", "naive")]) == [
        "fault pairs with tlctx: 1 ran, 1 as they should, 0 not",
        "fault pairs with the naive middleware, as a control: 1 ran, 0 as they should, 1 not",
    ]


def test_another_reason_to_skip_is_neither() -> None:
    (line,) = count_pairs([report("skipped")])
    assert line == "fault pairs with tlctx: 0 ran, 0 as they should, 0 not; 1 skipped for other reasons"


def test_a_test_that_is_no_pair_is_not_counted() -> None:
    module: Any = SimpleNamespace(outcome="skipped")  # one that skips itself
    assert count_pairs([SimpleNamespace(outcome="passed", user_properties=[]), module]) == []


ABSENT = replace(SERVERS[0], name="absent", needs="no_such_distribution")
PLAIN = next(fault for fault in FAULTS if not fault.absent)
LIMITED = replace(PLAIN, absent={"absent": "it has no such fault"})


@pytest.mark.parametrize(
    ("server", "fault", "recorded"),
    [(ABSENT, PLAIN, NOT_INSTALLED), (ABSENT, LIMITED, LIMIT)],
    ids=["not installed", "a limit, installed or not"],
)
def test_a_pair_that_can_not_run_is_skipped_and_records_why(
    server: Server, fault: Fault, recorded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI", raising=False)
    properties: dict[str, object] = {}
    with pytest.raises(pytest.skip.Exception):
        check_pair(server, fault, "tlctx", properties.__setitem__)
    assert properties == {PAIR: "tlctx", recorded: "absent"}


def test_a_server_that_is_not_installed_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="CI lacks no_such_distribution"):
        check_pair(ABSENT, PLAIN, "tlctx", lambda *_: None)


def test_a_pair_that_runs_records_no_reason_to_skip() -> None:
    properties: dict[str, object] = {}
    here = replace(ABSENT, needs="pytest")
    check_pair(here, PLAIN, "naive", properties.__setitem__)
    assert properties == {PAIR: "naive"}


def test_the_table_marks_45_pairs_as_limits() -> None:
    limits = [(server.name, fault.name) for server in SERVERS for fault in FAULTS if reason(fault.absent, server)]
    assert len(limits) == 45
    assert len(SERVERS) * len(FAULTS) == 1452
