"""The result of a run: the rows of both implementations side by side, as a table and as JSON."""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import os
import platform
from dataclasses import asdict, dataclass, field
from typing import Any

import psutil
from benchmarks.rivals import DISTRIBUTIONS
from rich.table import Table

IMPLEMENTATIONS = {"c": "C", "python": "Python"}
"""The name of each implementation as `tlctx.IMPLEMENTATION` has it, and for a reader."""
SYMBOLS = {"requests/s": "/s", "bytes": "B"}
NOISE = "noise"
"""In the place of a figure, where too many rounds had a side that was not above the floor."""


@dataclass
class Comparison:
    """One kind of work against one rival: a figure for each implementation, or why there is none."""

    group: str
    work: str
    rival: str
    unit: str
    more_is_better: bool
    problem: str = ""
    close: bool = False
    implementations: dict[str, dict[str, Any] | None] = field(default_factory=lambda: dict.fromkeys(IMPLEMENTATIONS))

    @property
    def theirs(self) -> float | None:
        """What the rival came to, without the floor."""
        return next((net(figure, "theirs") for figure in self.implementations.values() if figure), None)


def merge(rows: list[dict[str, Any]]) -> list[Comparison]:
    """One comparison for the rows of both implementations; those of the same work stand together."""
    found: dict[tuple[str, str, str], Comparison] = {}
    for row in rows:
        key = row["group"], row["work"], row["rival"]
        one = found.setdefault(key, Comparison(*key, row["unit"], row["more_is_better"]))
        one.problem = one.problem or row["problem"]
        one.close = row.get("close", False)
        one.implementations[row["implementation"]] = row["figure"]
    works = list(dict.fromkeys((group, work) for group, work, _ in found))
    return sorted(found.values(), key=lambda one: works.index((one.group, one.work)))


def machine() -> dict[str, Any]:
    return {
        "architecture": platform.machine(),
        "system": platform.system(),
        "cores": psutil.cpu_count(logical=False),
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "interpreter": platform.python_implementation(),
    }


def versions() -> dict[str, str | None]:
    """The version of each rival's distribution, None if it is not installed."""
    installed = {one.metadata["Name"].lower(): one.version for one in importlib.metadata.distributions()}
    return {name: installed.get(name) for name in DISTRIBUTIONS}


def as_json(
    comparisons: list[Comparison], *, effort: str, implementations: list[str], failures: list[str]
) -> dict[str, Any]:
    return {
        "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "effort": effort,
        "machine": machine(),
        "versions": versions(),
        "implementations": implementations,
        "failures": failures,
        "rows": [asdict(one) for one in comparisons],
    }


def from_json(result: dict[str, Any]) -> list[Comparison]:
    """The comparisons of a result that was saved."""
    return [Comparison(**row) for row in result["rows"]]


def about(result: dict[str, Any]) -> str:
    """On what machine it was measured."""
    here = result["machine"]
    return f"{here['interpreter']} {here['python']}, {here['architecture']}, {here['cpus']} CPUs"


def table(comparisons: list[Comparison]) -> Table:
    """Ours over theirs, its quartiles, and what each side came to without the floor."""
    result = Table(box=None, header_style="bold", padding=(0, 1, 0, 0))
    result.add_column("ours / theirs", no_wrap=True)
    for name in IMPLEMENTATIONS.values():
        result.add_column(name, justify="right", no_wrap=True)
        result.add_column("quartiles", justify="right", no_wrap=True, style="dim")
    for name in [*(f"ours,\n{name}" for name in IMPLEMENTATIONS.values()), "theirs"]:
        result.add_column(name, justify="right", no_wrap=True)
    headed = ""
    for one in comparisons:
        if one.work != headed:
            result.add_row(f"\n[bold]{headline(one)}[/]")
            headed = one.work
        result.add_row(*cells(one))
    return result


def headline(one: Comparison) -> str:
    return f"{one.work} (more is better)" if one.more_is_better else one.work


def cells(one: Comparison) -> list[str]:
    if one.problem:
        return [f"  {one.rival}: {one.problem}"]
    figures = [one.implementations[name] for name in IMPLEMENTATIONS]
    ratios = [cell for figure in figures for cell in ratio_cells(figure, close=one.close)]
    ours = [amount(net(figure, "ours"), one.unit) for figure in figures]
    return [f"  {one.rival}", *ratios, *ours, amount(one.theirs, one.unit)]


def ratio_cells(figure: dict[str, Any] | None, *, close: bool = False) -> tuple[str, str]:
    """The ratio, and where it lies: most rounds, or in a close race the median with 95 % certainty."""
    if figure is None:
        return "", ""
    if figure["ratio"] is None:
        return NOISE, ""
    if close:
        return f"{figure['ratio']:.3f}", f"95%: {figure['low']:.3f}-{figure['high']:.3f}"
    return number(figure["ratio"]), f"{number(figure['lower_quartile'])}-{number(figure['upper_quartile'])}"


def net(figure: dict[str, Any] | None, side: str) -> float | None:
    return None if figure is None else figure[side] - figure["floor"]


def number(value: float) -> str:
    """With three digits that say something; two will do for a small one."""
    digits = 3 if abs(value) >= 0.1 else 2
    return f"{value:#.{digits}g}".rstrip(".") if abs(value) < 1000 else f"{value:,.0f}"


def amount(value: float | None, unit: str) -> str:
    """With its unit, or a larger one."""
    if value is None:
        return ""
    if unit == "ns" and abs(value) >= 1000:
        return f"{number(value / 1000)} µs"
    if unit == "bytes" and abs(value) >= 2**20:
        return f"{value / 2**20:.1f} MB"
    return f"{number(value)} {SYMBOLS.get(unit, unit)}"
