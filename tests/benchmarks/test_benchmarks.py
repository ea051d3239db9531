"""The benchmarks are one command that measures every rival. Here with tiny counts, and no test looks at a time."""

from __future__ import annotations

import functools
import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from benchmarks import chart, compare, measure, report
from support.helpers import PATIENCE, missing

pytestmark = pytest.mark.benchmarks

COMMAND = Path(__file__).parent / "compare.py"
LOCALS = [
    "threading.local, in C", "_threading_local", "ContextVar", "werkzeug Local", "werkzeug LocalProxy", "flask.g",
    "asgiref Local", "gevent local", "attribute of a plain object",
]  # fmt: skip
FLASK = ["TLCtx, against bare", "TLCtx, against flask.g", "flask.g, against bare", "bare, against bare again"]
VIEW = ["without the view", "without, against without again"]
MIDDLEWARE = ["werkzeug LocalManager", "OpenTelemetry (SDK, no exporter)", "Sentry (no traces, sends nothing)"]
EXPECTED = {
    "attributes": {
        "read an attribute": LOCALS,
        "write an attribute": LOCALS,
        "write and delete an attribute": LOCALS,
        "read a context's field": ["threading.local, in C", "ContextVar", "flask.g"],
        "read a context's field in a coroutine": ["ContextVar"],
        "write a context's field in a coroutine": ["ContextVar"],
        "attach and detach a scope in a coroutine": ["ContextVar"],
    },
    "threads": {
        "first write in a new thread, and its end": [
            "threading.local, in C", "_threading_local", "asgiref Local", "werkzeug Local",
        ],
        "read, 1 live thread": ["threading.local, in C"],
        "read, 4 live threads": ["threading.local, in C", "a local that one thread touched", "with 1 live thread"],
        "read, 20 live threads": ["threading.local, in C", "a local that one thread touched", "with 1 live thread"],
        "read, 8 threads at once": ["threading.local, in C", "ContextVar", "_threading_local"],
        "a job of a pool, submit to result": ["contextvars.copy_context().run"],
    },
    "middleware": {
        "middleware, list body": MIDDLEWARE,
        "middleware, stream of 1 chunk": MIDDLEWARE,
        "middleware, stream of 100 chunks": MIDDLEWARE,
        "middleware, file body": MIDDLEWARE,
    },
    "asgi": {
        "ASGI middleware, a value written and read": ["starlette-context RawContextMiddleware", "asgi-correlation-id"],
    },
    "flask": {
        "a Flask request": FLASK,
        "CPU of a Flask request, gunicorn gthread": FLASK,
    },
    "inspector": {
        "a Flask request, an idle live view": VIEW,
        "CPU of a Flask request, an idle live view, gunicorn": VIEW,
    },
    "logs": {
        "a log record, with the user and the request id, in a request": ["a filter that does nothing"],
        "a log record, with the user and the request id, outside": ["a filter that does nothing"],
    },
    "servers": {
        "requests/s, gunicorn gthread": ["bare app", "werkzeug LocalManager", "Flask without TLCtx"],
        "100 MB by sendfile, gunicorn": ["bare app"],
    },
    "memory": {
        "a live scope that holds one value": ["a dict that does"],
        "memory after 1,000,000 requests": ["after the second tenth of them"],
        "memory after 100,000 dead threads": ["after the second tenth of them"],
    },
}  # fmt: skip
ROWS = [(group, work, rival) for group, works in EXPECTED.items() for work, rivals in works.items() for rival in rivals]


@functools.cache
def outcome(group: str) -> tuple[dict[str, Any], str, str]:
    """The numbers, the chart and the table of a trial of one group."""
    with tempfile.TemporaryDirectory() as directory:
        numbers, picture = Path(directory) / "numbers", Path(directory) / "chart.svg"
        options = ["--effort=trial", f"--only={group}", f"--json={numbers}", f"--chart={picture}"]
        ran = subprocess.run(
            [sys.executable, str(COMMAND), *options], capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        assert (ran.returncode, ran.stderr) == (0, "")
        return json.loads(numbers.read_text()), picture.read_text(), ran.stdout


@pytest.mark.parametrize(("group", "work", "rival"), ROWS)
def test_every_rival_is_measured_on_every_implementation(group: str, work: str, rival: str) -> None:
    result, _, _ = outcome(group)
    (row,) = [row for row in result["rows"] if (row["work"], row["rival"]) == (work, rival)]
    if row["problem"].startswith("not installed: "):
        missing(row["problem"].removeprefix("not installed: "))
    assert not row["problem"]
    assert {implementation for implementation, figure in row["implementations"].items() if figure} == set(
        result["implementations"]
    )
    for implementation in result["implementations"]:
        figure = row["implementations"][implementation]
        for side in ("ours", "theirs"):
            assert math.isfinite(figure[side])
            assert figure[side] > 0
        assert figure["floor"] >= 0
        assert figure["ratio"] is None or figure["lowest"] <= figure["ratio"] <= figure["highest"]


@pytest.mark.parametrize("group", EXPECTED)
def test_a_group_has_these_rows_and_no_other_and_nothing_failed(group: str) -> None:
    result, _, table = outcome(group)
    assert [(row["group"], row["work"], row["rival"]) for row in result["rows"]] == [
        row for row in ROWS if row[0] == group
    ]
    assert result["failures"] == []
    assert result["effort"] == "trial"
    assert "the figures mean nothing" in table
    for work in EXPECTED[group]:
        assert work in table
    assert ("C accelerator is not built" in table) is (result["implementations"] == ["python"])


@pytest.mark.parametrize("group", EXPECTED)
def test_the_chart_is_an_svg_that_names_the_work(group: str) -> None:
    result, picture, _ = outcome(group)
    assert ET.fromstring(picture).tag == "{http://www.w3.org/2000/svg}svg"
    drawn = [
        row for row in result["rows"] if any(figure and figure["ratio"] for figure in row["implementations"].values())
    ]
    for row in drawn:
        assert f">{row['work']}" in picture.replace("&#x27;", "'")


def test_the_numbers_say_on_what_machine_and_against_what() -> None:
    result, _, _ = outcome("memory")
    assert set(result["machine"]) == {"architecture", "system", "cores", "cpus", "python", "interpreter"}
    assert result["machine"]["python"] == "{}.{}.{}".format(*sys.version_info)
    assert {"werkzeug", "flask", "asgiref", "gevent", "gunicorn", "sentry-sdk"} < set(result["versions"])
    assert result["date"].startswith("20")


class Side:
    """Work that takes so many nanoseconds a piece, by a clock of its own; `log` has every run of it."""

    def __init__(self, nanoseconds: float, log: list[Side] | None = None) -> None:
        self.nanoseconds = nanoseconds
        self.log = [] if log is None else log

    def __call__(self, number: int) -> float:
        self.log.append(self)
        return number * self.nanoseconds / 1e9


def test_the_floor_is_subtracted_from_both_sides() -> None:
    found = measure.compare(Side(10), Side(30), Side(50), measure.FULL)
    assert found.ratio == pytest.approx(0.5)
    assert (found.ours, found.theirs, found.floor) == pytest.approx((30, 50, 10))
    assert (found.rounds, found.lost) == (measure.FULL.rounds, 0)


def test_a_figure_is_the_median_of_the_rounds_with_its_spread() -> None:
    found = measure.figure([(1, 1 + ratio, 2) for ratio in (5, 1, 4, 2, 3)])
    assert (found.lowest, found.lower_quartile, found.ratio, found.upper_quartile, found.highest) == (1, 2, 3, 4, 5)


def test_the_interval_leaves_out_as_many_at_each_end_as_fall_there_in_five_of_a_hundred_cases() -> None:
    assert measure.interval([3.0, 1.0, 2.0, 5.0, 4.0]) == (1, 5)
    assert measure.interval([float(number) for number in range(1, 7)]) == (1, 6)
    assert measure.interval([float(number) for number in range(1, 16)]) == (4, 12)
    assert measure.interval([float(number) for number in range(1, 102)]) == (41, 61)
    found = measure.figure([(1, 1 + number / 10, 2) for number in range(10, 25)])
    assert (found.low, found.high) == pytest.approx((1.3, 2.1))


def test_sides_that_are_close_show_the_interval_of_their_median() -> None:
    (one,) = report.merge([row("c", 1.0123, close=True)])
    assert report.cells(one)[:3] == ["  theirs", "1.012", "95%: 1.012-1.012"]


def test_one_round_is_a_figure_too() -> None:
    found = measure.figure([(0, 3, 2)])
    assert (found.lowest, found.lower_quartile, found.ratio, found.upper_quartile, found.highest) == (1.5,) * 5


@pytest.mark.parametrize("noise", [(1, 1, 2), (1, 2, 0.5)])
def test_there_is_no_figure_where_many_rounds_are_lost_in_the_noise(noise: tuple[float, float, float]) -> None:
    good = (1, 3, 2)
    few, many = measure.figure([good] * 3 + [noise]), measure.figure([good] * 2 + [noise])
    assert (few.ratio, few.lost) == (2, 1)
    assert (many.ratio, many.highest, many.lost) == (None, None, 1)
    assert many.ours > 0


def test_the_sides_take_turns_and_every_other_round_goes_backwards() -> None:
    log: list[Side] = []
    sides = [Side(1, log), Side(2, log), Side(3, log)]
    measure.in_turn(sides, measure.Effort(rounds=3, slice=1e-9))
    assert log[-9:] == [*sides, *sides[::-1], *sides]


def test_a_side_works_as_often_as_fills_its_slice() -> None:
    assert measure.loops(Side(1000), 0.005) == 5000
    assert measure.loops(Side(1e10), 0.005) == 1
    assert measure.loops(Side(0), 0.005) == measure.MOST


def test_a_statement_runs_on_its_subject_and_a_call_with_the_collector_on() -> None:
    values: list[int] = []
    assert measure.statement("o.append(1)", values)(3) >= 0
    assert measure.calling(lambda: values.append(2))(2) >= 0
    assert values == [1, 1, 1, 2, 2]


def row(implementation: str, ratio: float, **changes: Any) -> dict[str, Any]:
    figure = measure.figure([(1, 1 + ratio, 2)])
    return {
        "group": "g", "work": "read", "rival": "theirs", "unit": "ns", "more_is_better": False, "problem": "",
        "implementation": implementation, "figure": vars(figure), **changes,
    }  # fmt: skip


def test_the_figures_of_both_implementations_stand_in_one_row() -> None:
    (one,) = report.merge([row("c", 0.5), row("python", 4)])
    assert report.cells(one) == [
        "  theirs", "0.500", "0.500-0.500", "4.00", "4.00-4.00", "0.500 ns", "4.00 ns", "1.00 ns",
    ]  # fmt: skip


def test_an_implementation_that_is_not_here_has_an_empty_column_and_a_missing_rival_says_so() -> None:
    first, second = report.merge([row("python", 4), row("python", 1, rival="b", figure=None, problem="not installed")])
    assert report.cells(first)[1:3] == ["", ""]
    assert report.cells(second) == ["  b: not installed"]


def test_rows_of_the_same_work_stand_together_in_the_order_they_came() -> None:
    rows = [row("c", 1, rival=rival, work=work) for rival in "ab" for work in ("read", "write")]
    found = [(one.work, one.rival) for one in report.merge(rows)]
    assert found == [("read", "a"), ("read", "b"), ("write", "a"), ("write", "b")]


def test_the_same_numbers_draw_the_same_chart(tmp_path: Path) -> None:
    comparisons = report.merge([row("c", 0.5), row("python", 4)])
    for name in ("one.svg", "two.svg"):
        chart.draw(comparisons, tmp_path / name, "somewhere")
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()


def test_a_job_that_fails_is_an_error_with_what_it_said() -> None:
    job = measure.Job("no such job", lambda effort: [], 1)
    with pytest.raises(compare.JobError, match=r"(?s)status 1.*not enough values"):
        compare.rows_of("memory", job, "python", "trial")
