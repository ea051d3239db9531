"""A live view to ask, and the program that asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support import live_view
from support.top import TOKEN, Server

pytest.importorskip("rich", reason="needs rich")

from tlctx.__main__ import main

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.top import Top


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("TLCTX_TOKEN", TOKEN)
    monkeypatch.setenv("COLUMNS", "140")
    with Server() as running:
        running.answers(live_view.answer())
        yield running


@pytest.fixture
def top(capsys: pytest.CaptureFixture[str]) -> Top:
    """Run the program; its status, what it printed, and what it printed as errors."""

    def run(*arguments: str) -> tuple[int, str, str]:
        status: Any = 0
        try:
            main(["top", "--once", *arguments])
        except SystemExit as ended:
            status = ended.code
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run
