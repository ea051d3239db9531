"""One browser and one gunicorn for the tests of a module: after them, asyncio can run on this thread again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.helpers import PATIENCE
from support.processes import gunicorn

pytest.importorskip("playwright.sync_api", reason="needs playwright")

from playwright.sync_api import expect
from servers.live_view.visit import Visit
from support import browser as chromium

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

TESTS = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=1000 * PATIENCE / 2)
    with chromium.browser() as running:
        yield running


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with gunicorn("support.live_view_app:app", cwd=TESTS, threads=8) as port:
        yield port


@pytest.fixture
def visit(browser: Browser, port: int) -> Iterator[Visit]:
    """Somebody who looks at the page; at the end, nothing was asked of another host, and the console has no error."""
    visitor = Visit(browser, port)
    yield visitor
    visitor.leave()
    assert visitor.hosts <= {f"127.0.0.1:{port}"}
    assert visitor.errors == []
