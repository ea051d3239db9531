"""How `local` and the middleware compare with what a user would pick instead: `python tests/benchmarks/compare.py`.

Every figure is a ratio of two sides that are measured in turn in one run, without the loop's own cost; the table shows
the median of the rounds.
"""

from __future__ import annotations

import itertools
import platform
import statistics
import threading
import timeit
from _threading_local import local as seed_local
from contextvars import ContextVar
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import werkzeug.local
from rich.console import Console
from rich.progress import track
from rich.table import Table

import tlctx

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROUNDS = 15
LOOPS = 20_000


class Ctx(tlctx.RequestContext):
    """One declared field."""

    x: int = 1


ctx = Ctx()
variable = ContextVar("variable", default=1)
shared = werkzeug.local.Local()


def one_block(environ: Any, start_response: Any) -> list[bytes]:
    """The smallest answer."""
    return [b"x"]


def one_chunk(environ: Any, start_response: Any) -> Iterator[bytes]:
    """The smallest stream."""
    yield b"x"


def serve(app: Any) -> Callable[[], None]:
    """A function that serves one request, as a server would."""

    def run() -> None:
        body = app({"REQUEST_METHOD": "GET", "PATH_INFO": "/"}, None)
        for _ in body:
            pass
        if hasattr(body, "close"):
            body.close()

    return run


def seconds(statement: str, subject: Any, loops: int) -> float:
    return timeit.timeit(statement, globals={"o": subject, "v": variable}, number=loops)


def ratios(ours: tuple[str, Any], theirs: tuple[str, Any], floor: tuple[str, Any], loops: int) -> list[float]:
    """Our cost over theirs, above the floor's, once a round."""
    found = []
    for _ in range(ROUNDS):
        base = seconds(*floor, loops)
        found.append((seconds(*ours, loops) - base) / (seconds(*theirs, loops) - base))
    return found


def attribute_rows() -> Iterator[tuple[str, str, list[float]]]:
    rivals = {"threading.local, in C": threading.local(), "_threading_local": seed_local(), "werkzeug Local": shared}
    for verb, statement in (("read", "o.x"), ("write", "o.x = 1")):
        for name, rival in rivals.items():
            mine = tlctx.local()
            mine.x = rival.x = 1  # type: ignore[attr-defined]
            yield f"{verb} local.x", name, ratios((statement, mine), (statement, rival), ("pass", None), LOOPS)
    with ctx.scope():
        yield "read ctx.x", "ContextVar.get()", ratios(("o.x", ctx), ("v.get()", None), ("pass", None), LOOPS)


def middleware_rows() -> Iterator[tuple[str, str, list[float]]]:
    manager = werkzeug.local.LocalManager([shared])
    for name, app in (("a list", one_block), ("a stream", one_chunk)):
        ours, theirs = tlctx.ContextMiddleware(app, ctx), manager.make_middleware(app)
        sides = [("o()", serve(side)) for side in (ours, theirs, app)]
        yield f"added to {name}", "LocalManager", ratios(sides[0], sides[1], sides[2], LOOPS // 10)


def main() -> None:
    table = Table("work", "rival", "ours / theirs", "lowest to highest round")
    rows = itertools.chain(attribute_rows(), middleware_rows())
    for work, rival, found in track(rows, "measuring", total=9):
        table.add_row(work, rival, f"{statistics.median(found):.2f}", f"{min(found):.2f} to {max(found):.2f}")
    console = Console()
    console.print(table)
    console.print(f"CPython {platform.python_version()}, {platform.machine()}, tlctx's {tlctx.IMPLEMENTATION} twin,")
    console.print(f"werkzeug {version('werkzeug')}, median of {ROUNDS} rounds")


if __name__ == "__main__":
    main()
