"""The chart: ours over theirs as bars on a logarithmic axis, from the line where both cost the same."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from benchmarks.report import IMPLEMENTATIONS, Comparison, headline, number
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from matplotlib.axes import Axes

COLOURS = {"c": "#0072b2", "python": "#d97700"}
COLUMNS = {"c": 1.22, "python": 1.42}
"""Where the numbers of each implementation end, in widths of the bars' field."""
WIDTH = 8.0  # inches, as is LINE
LINE = 0.175
ABOVE, BELOW = 2, 4  # lines, around the bars
FIELD = (0.41, 0.82)  # where the bars are, in widths of the chart
SIZE = 8.0  # points: eleven pixels where the chart is 800 pixels wide
BAR = 0.38  # of a line
STYLE: Any = {
    "svg.hashsalt": "tlctx",  # with it, and without a date, the same numbers make the same file
    "svg.fonttype": "none",
    "font.size": SIZE,
    "ytick.major.size": 0,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.spines.bottom": False,
}


def draw(comparisons: list[Comparison], path: Path, caption: str) -> None:
    """Write it as SVG."""
    drawn = [one for one in comparisons if any(ratio(one, implementation) for implementation in IMPLEMENTATIONS)]
    lines = len(drawn) + 1.5 * len({one.work for one in drawn})
    with mpl.rc_context(STYLE):
        height = lines + ABOVE + BELOW
        figure = Figure(figsize=(WIDTH, LINE * height))
        figure.subplots_adjust(left=FIELD[0], right=FIELD[1], top=1 - ABOVE / height, bottom=BELOW / height)
        axes = figure.subplots()
        axes.set_xscale("log")
        for one, place in zip(drawn, headed(axes, drawn), strict=True):
            bars(axes, one, place)
        decorate(axes, drawn, caption)
        axes.set_ylim(lines, -0.5)
        figure.savefig(path, metadata={"Date": None})


def headed(axes: Axes, comparisons: list[Comparison]) -> Iterator[float]:
    """The line of each comparison; those of one work come below its name."""
    line = 0.0
    for _, works in itertools.groupby(comparisons, lambda one: one.work):
        rows = list(works)
        at_left = axes.get_yaxis_transform()
        axes.text(-0.01, line, headline(rows[0]), transform=at_left, weight="bold", ha="right", va="center")
        yield from (line + number for number in range(1, len(rows) + 1))
        line += len(rows) + 1.5


def bars(axes: Axes, one: Comparison, place: float) -> None:
    """The rival's name, and for each implementation the ratio, as a bar from 1 and as a number."""
    beside: Any = {"transform": axes.get_yaxis_transform(), "ha": "right", "va": "center"}
    axes.text(-0.01, place, one.rival, **beside)
    for implementation, offset in zip(IMPLEMENTATIONS, (-BAR / 2, BAR / 2), strict=True):
        value = ratio(one, implementation)
        if value is not None:
            axes.barh(place + offset, value - 1, BAR, left=1, color=COLOURS[implementation], linewidth=0)
            axes.text(COLUMNS[implementation], place, number(value), color=COLOURS[implementation], **beside)


def decorate(axes: Axes, comparisons: list[Comparison], caption: str) -> None:
    values = [
        value for one in comparisons for implementation in IMPLEMENTATIONS if (value := ratio(one, implementation))
    ]
    axes.set_xlim(min([*values, 0.5]) / 1.2, max([*values, 2]) * 1.2)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.grid(visible=True, axis="x", alpha=0.4, linewidth=0.5)
    axes.set_axisbelow(True)
    axes.set_yticks([])
    axes.xaxis.set_major_formatter(FuncFormatter(plain))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.tick_params(axis="x", top=True, labeltop=True, length=2)
    axes.set_xlabel(f"ours / theirs, on a logarithmic axis: left of the line ours costs less\n{caption}")
    for implementation, place in COLUMNS.items():
        axes.text(
            place,
            -0.6,
            IMPLEMENTATIONS[implementation],
            transform=axes.get_yaxis_transform(),
            color=COLOURS[implementation],
            weight="bold",
            ha="right",
        )


def plain(value: float, position: Any) -> str:
    return f"{value:g}"


def ratio(one: Comparison, implementation: str) -> float | None:
    figure = one.implementations[implementation]
    return figure["ratio"] if figure else None
