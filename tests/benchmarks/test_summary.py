"""The summary draws the ratios that it names, says what to see, and can be drawn from numbers that were saved."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from benchmarks import measure, report
from benchmarks.summary import BARS, BLUE, GREY, ORANGE, costs, draw_summary, sentence
from support.helpers import PATIENCE

pytestmark = pytest.mark.benchmarks

COMMAND = Path(__file__).parent / "compare.py"
RATIOS = [0.25, 1.5, 0.5, 0.25, 0.5, 0.8]


def rows(ratios: list[float], implementation: str = "c") -> list[dict[str, Any]]:
    """A row for each bar, the last of which is of requests per second."""
    return [
        {
            "group": "g", "work": bar.work, "rival": bar.rival, "unit": "ns", "problem": "",
            "more_is_better": bar.label == "A Flask request", "implementation": implementation,
            "figure": vars(measure.figure([(1, 1 + ratio * 2, 3)])),
        }
        for bar, ratio in zip(BARS, ratios, strict=True)
    ]  # fmt: skip


def texts(path: Path) -> list[str]:
    return [text.strip() for text in ET.fromstring(path.read_text()).itertext() if text.strip()]


def test_it_shows_every_bar_with_its_ratio_and_a_rate_as_a_cost(tmp_path: Path) -> None:
    draw_summary(report.merge(rows(RATIOS)), tmp_path / "summary.svg", "somewhere")
    found = texts(tmp_path / "summary.svg")
    for bar in BARS:
        assert f"{bar.label} vs. {bar.beside}" in found
    assert [text for text in found if re.fullmatch(r"\d\.\d+", text)] == [
        "0.250",
        "1.50",
        "0.500",
        "0.250",
        "0.500",
        "1.25",
    ]
    assert "With the C accelerator; somewhere" in found


def test_the_sentence_counts_the_bars_that_cost_less() -> None:
    found = costs(report.merge(rows(RATIOS)), "c")
    assert sentence(found).endswith("left of the line, tlctx costs less than the alternative (4 of 6).")


def test_a_bar_without_a_figure_is_left_out(tmp_path: Path) -> None:
    without = [row for row in rows(RATIOS) if row["work"] != "write an attribute"]
    draw_summary(report.merge(without), tmp_path / "summary.svg", "somewhere")
    found = texts(tmp_path / "summary.svg")
    assert not [text for text in found if text.startswith("Write")]
    assert any("(3 of 5)" in text for text in found)


def test_without_the_c_accelerator_it_shows_pure_python(tmp_path: Path) -> None:
    draw_summary(report.merge(rows(RATIOS, "python")), tmp_path / "summary.svg", "somewhere")
    assert "With pure Python; somewhere" in texts(tmp_path / "summary.svg")


def luminance(colour: str) -> float:
    """By WCAG 2."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("colour", [GREY, BLUE, ORANGE])
@pytest.mark.parametrize("page", ["#ffffff", "#0d1117"], ids=["light", "dark"])
def test_its_colours_stand_out_from_a_light_page_and_from_a_dark_one(colour: str, page: str) -> None:
    lighter, darker = sorted([luminance(colour), luminance(page)], reverse=True)
    assert (lighter + 0.05) / (darker + 0.05) > 3


def test_it_has_no_background_and_no_colour_that_was_not_chosen(tmp_path: Path) -> None:
    draw_summary(report.merge(rows(RATIOS)), tmp_path / "summary.svg", "somewhere")
    picture = (tmp_path / "summary.svg").read_text()
    assert set(re.findall(r"(?:fill|stroke): (#[0-9a-f]{6})", picture)) == {GREY, BLUE, ORANGE}


def saved(path: Path, ratios: list[float]) -> Path:
    result = report.as_json(report.merge(rows(ratios)), effort="full", implementations=["c"], failures=[])
    path.write_text(json.dumps(result))
    return path


def test_the_command_draws_both_charts_from_numbers_that_were_saved(tmp_path: Path) -> None:
    numbers = saved(tmp_path / "numbers", RATIOS)
    options = [f"--from-json={numbers}", f"--summary={tmp_path}/summary.svg", f"--chart={tmp_path}/chart.svg"]
    ran = subprocess.run(
        [sys.executable, str(COMMAND), *options], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "threading.local, in C" in ran.stdout
    assert "0.250" in texts(tmp_path / "summary.svg")
    assert "0.250" in texts(tmp_path / "chart.svg")


def test_numbers_that_are_saved_and_read_are_the_same(tmp_path: Path) -> None:
    comparisons = report.merge(rows(RATIOS))
    assert report.from_json(json.loads(saved(tmp_path / "numbers", RATIOS).read_text())) == comparisons
