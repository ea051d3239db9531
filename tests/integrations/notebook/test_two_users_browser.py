"""The page "Two users at once" in a real browser, on two workers of eight threads."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from notebook.load import serving
from support.browser import browser
from support.checkout import CHECKOUT

pytest.importorskip("playwright", reason="needs playwright")
pytest.importorskip("axe_playwright_python", reason="needs axe-playwright-python")
if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

pytestmark = pytest.mark.servers

PATIENCE = 60_000
"""In milliseconds."""


@pytest.fixture
def chromium() -> Iterator[Browser]:
    with browser() as running:
        yield running


def test_one_sees_that_the_left_mixes_users_up_and_the_right_does_not(
    chromium: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    monkeypatch.setenv("PYTHONPATH", str(CHECKOUT))
    with serving() as url:
        page = chromium.new_page(viewport={"width": 390, "height": 844})
        problems: list[str] = []
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(f"{url}/two-users/")
        page.get_by_role("button", name="Send").dblclick()
        page.locator('[data-running="true"]').first.wait_for(timeout=PATIENCE)
        assert page.get_by_role("button", name="Send").is_disabled()
        page.locator('[data-running="false"] .verdict').first.wait_for(timeout=PATIENCE)
        left, right = (int(re.split(r"\s", text)[0]) for text in page.locator(".verdict").all_inner_texts())
        assert left > 0
        assert right == 0
        assert page.locator(".board").first.locator(".cells path").count() == left
        assert page.locator(".board").last.locator(".cells rect").count() == 200
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        assert Axe().run(page).violations_count == 0
        assert problems == []
