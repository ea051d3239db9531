"""Where Chromium is."""

from __future__ import annotations

import shutil

from support.helpers import missing


def chromium() -> str:
    """The program: Debian's, or Google's build of it."""
    found = shutil.which("chromium") or shutil.which("google-chrome")
    return missing("Chromium: Debian's package is named chromium") if found is None else found
