"""The summary: a chart of the few ratios that matter most, to be taken in at a glance.

It has no background, and its colours stand out from a white page and from a dark one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from benchmarks.report import Comparison, number
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

GREY, BLUE, ORANGE = "#7a7a7a", "#2b7de9", "#cf6a00"
"""The contrast of each is above 3 on white and on black."""
SIZE = 11.0  # points
WIDTH, LINE = 8.0, 0.44  # inches
ABOVE, BELOW = 0.45, 0.75  # inches, around the bars
FIELD = (0.5, 0.92)  # where the bars are, in widths of the chart
NAMES = {"c": "the C accelerator", "python": "pure Python"}
STYLE: Any = {
    "svg.hashsalt": "tlctx",  # with it, and without a date, the same numbers make the same file
    "svg.fonttype": "none",
    "font.size": SIZE,
    "text.color": GREY,
}


@dataclass(frozen=True)
class Bar:
    """What is drawn, and where its ratio stands in a result."""

    label: str
    beside: str
    work: str
    rival: str


BARS = (
    Bar("Read an attribute", "threading.local", "read an attribute", "threading.local, in C"),
    Bar("Read a context's field", "ContextVar.get()", "read a context's field", "ContextVar"),
    Bar("Write an attribute", "threading.local", "write an attribute", "threading.local, in C"),
    Bar("Add to a list response", "LocalManager", "middleware, list body", "werkzeug LocalManager"),
    Bar("Add to a streamed chunk", "LocalManager", "middleware, stream of 1 chunk", "werkzeug LocalManager"),
    Bar("A Flask request", "one without tlctx", "requests/s, gunicorn gthread", "Flask without TLCtx"),
)


def costs(comparisons: list[Comparison], implementation: str) -> dict[Bar, float]:
    """What tlctx costs of each bar's alternative; a bar without a figure is left out."""
    found = {}
    for bar in BARS:
        for one in comparisons:
            figure = one.implementations[implementation]
            if (one.work, one.rival) == (bar.work, bar.rival) and figure and figure["ratio"]:
                found[bar] = 1 / figure["ratio"] if one.more_is_better else figure["ratio"]
    return found


def sentence(found: dict[Bar, float]) -> str:
    """What there is to see."""
    less = sum(cost < 1 for cost in found.values())
    return f"Shorter is better: left of the line, tlctx costs less than the alternative ({less} of {len(found)})."


def draw_summary(comparisons: list[Comparison], path: Path, caption: str) -> None:
    """Write it as SVG: of the C accelerator, or of pure Python where there is nothing else."""
    implementation, found = next(
        ((name, found) for name in NAMES if (found := costs(comparisons, name))), ("python", dict[Bar, float]())
    )
    height = ABOVE + LINE * len(found) + BELOW
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, height))
        figure.patch.set_alpha(0)
        figure.subplots_adjust(left=FIELD[0], right=FIELD[1], top=1 - ABOVE / height, bottom=BELOW / height)
        axes = figure.subplots()
        axes.axis("off")
        for line, (bar, cost) in enumerate(found.items()):
            draw_bar(axes, line, bar, cost)
        axes.axvline(1, color=GREY, linewidth=1.2, linestyle=(0, (3, 2)))
        axes.text(1, -0.75, "same cost", ha="center", va="bottom", size=SIZE - 1)
        axes.set_xlim(0, max([*found.values(), 1]) * 1.02)
        axes.set_ylim(len(found) - 0.4, -0.6)
        figure.text(0.02, 0.4 / height, sentence(found), weight="bold", va="center")
        figure.text(0.02, 0.15 / height, f"With {NAMES[implementation]}; {caption}", size=SIZE - 2, va="center")
        figure.savefig(path, metadata={"Date": None}, transparent=True)


def draw_bar(axes: Axes, line: int, bar: Bar, cost: float) -> None:
    """A bar from zero, its ratio at its end, and what is compared with what at its left."""
    colour = BLUE if cost <= 1 else ORANGE
    axes.barh(line, cost, 0.56, color=colour, linewidth=0)
    axes.annotate(
        number(cost), (cost, line), (5, 0), textcoords="offset points", va="center", color=colour, weight="bold"
    )
    at_left: Any = {"transform": axes.get_yaxis_transform(), "ha": "right", "va": "center"}
    axes.text(-0.02, line, f"{bar.label} vs. {bar.beside}", **at_left)
