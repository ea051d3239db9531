"""A real Chromium, for tests of pages."""

from __future__ import annotations

import contextlib
import shutil
from typing import TYPE_CHECKING

from support.helpers import missing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser


def chromium() -> str:
    """The program: Debian's, or Google's build of it."""
    found = shutil.which("chromium") or shutil.which("google-chrome")
    return missing("Chromium: Debian's package is named chromium") if found is None else found


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """One that runs as long as the block. Meanwhile Playwright has an event loop run on this thread."""
    from playwright.sync_api import sync_playwright

    program = chromium()
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield running
        running.close()
