"""Draws what a live view shows: a line of figures, what is wrong, and the requests in flight, the oldest first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from tlctx._top.texts import clean, seconds

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

__all__ = ["Picture"]

SLOW, VERY_SLOW = 1.0, 10.0
WIDE, MEDIUM = 110, 76


@dataclass
class Picture:
    """One picture for rich: it fills the height that it is given, and leaves out columns that have no place."""

    view: dict[str, Any]
    address: str
    notice: str = ""
    footer: str = ""
    whole: bool = False
    """Whether all requests are shown, however high that is."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        head = [_figures(self.view), Text(clean(self.address), style="dim", no_wrap=True, overflow="ellipsis")]
        trouble = [*([self.notice] if self.notice else []), *self.view["trouble"]]
        head += [Text(clean(text), style="yellow", no_wrap=True, overflow="ellipsis") for text in trouble[:5]]
        yield from head
        yield Text()
        requests = sorted(self.view["open"], key=lambda request: -float(request["age"]))
        room = len(requests) if self.whole else max(1, (options.height or console.height) - len(head) - 4)
        if requests:
            yield _table(requests[:room], self.view, options.max_width)
        else:
            yield Text("Nothing is being served right now.", style="dim")
        more = max(0, len(requests) - room) + self.view["truncated"]
        last = [*([f"{more:,} more in flight"] if more else []), *([self.footer] if self.footer else [])]
        if last:
            yield Text(" · ".join(last), style="dim", no_wrap=True, overflow="ellipsis")


def _figures(view: dict[str, Any]) -> Text:
    open_, processes = view["open"], view["processes"]
    text = Text(f"{len(open_) + view['truncated']:,} in flight", style="bold", no_wrap=True, overflow="ellipsis")
    rest = []
    if open_:
        rest.append(f"oldest {seconds(max(float(request['age']) for request in open_))}")
        rest.append(f"{sum(request['state'] == 'waiting' for request in open_):,} waiting")
    rest.append(f"{sum(process['begun'] for process in processes):,} begun")
    rest.append(f"{sum(process['failed'] for process in processes):,} failed")
    hosts = len({process["host"] for process in processes})
    rest.append(f"{_counted(len(processes), 'process', 'processes')} on {_counted(hosts, 'machine', 'machines')}")
    return text.append(f" · {' · '.join(rest)}", style="not bold")


def _counted(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def _table(requests: list[dict[str, Any]], view: dict[str, Any], width: int) -> Table:
    table = Table(box=None, expand=True, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("", width=2, no_wrap=True)
    table.add_column("Age", justify="right", no_wrap=True, min_width=9)
    table.add_column("Request", ratio=5, no_wrap=True, overflow="ellipsis")
    several = len(view["processes"]) > 1
    for shown, name in ((width >= MEDIUM, "Thread"), (several, "Process"), (True, "State"), (width >= WIDE, "Fields")):
        if shown:
            table.add_column(name, ratio=2, no_wrap=True, overflow="ellipsis")
    for request in requests:
        table.add_row(*_row(request, view, width, several))
    return table


def _row(request: dict[str, Any], view: dict[str, Any], width: int, several: bool) -> list[Text]:
    age = float(request["age"])
    mark, style = ("!!", "bold red") if age >= VERY_SLOW else ("!", "yellow") if age >= SLOW else ("", "")
    name = " ".join(clean(request[part]) for part in ("method", "path") if request[part]) or clean(request["label"])
    chunks = request["chunks"]
    state = f"{request['state']}, {_counted(chunks, 'chunk', 'chunks')}" if chunks else request["state"]
    cells = [Text(mark, style=style), Text(seconds(age), style=style), Text(name)]
    if width >= MEDIUM:
        cells.append(Text(clean((request["thread"] or {}).get("name", ""))))
    if several:
        cells.append(Text(clean(_process(request["process"], view))))
    cells.append(Text(clean(state)))
    if width >= WIDE:
        cells.append(Text(clean(_fields(request))))
    return cells


def _process(which: str, view: dict[str, Any]) -> str:
    """What tells the process apart: the machine too, where there are several."""
    found = next((process for process in view["processes"] if process["id"] == which), None)
    if found is None:
        return which
    return which if len({process["host"] for process in view["processes"]}) > 1 else str(found["pid"])


def _fields(request: dict[str, Any]) -> str:
    values = request["values"]
    return ", ".join(
        [f"{name}={value}" for name, value in values.items()]
        + [name for name in request["fields"] if name not in values]
    )
