"""Draws docs/images/live-view.png: the page with requests that are made up. From the folder `tests`:

    python -m servers.live_view.picture ../docs/images/live-view.png

It needs Chromium, playwright and Pillow.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from PIL import Image
from playwright.sync_api import sync_playwright
from support import live_view
from support.browser import chromium

import tlctx

if TYPE_CHECKING:
    from playwright.sync_api import FloatRect, Page, Route

FILES = Path(tlctx.__file__).parent / "inspector" / "_page"
TYPES = {".css": "text/css", ".html": "text/html", ".js": "text/javascript", ".svg": "image/svg+xml"}
WIDTH, HEIGHT, SCALE = 1120, 860, 2


def picture() -> dict[str, Any]:
    """Eight threads of a process, one of which has waited for its database for 42 seconds, and one of which streams."""
    made = live_view.busy(8, seed=11)
    stuck = live_view.request(
        1403, "/reports/2025", age=42.3, thread={"id": 146, "name": "gthread_6"}, values={"user": "'ann'"},
        route="/reports/<year>", trace="4bf92f3577b34da6a3ce929d0e0e4736",
    )  # fmt: skip

    def stays(request: dict[str, Any]) -> bool:
        ended = request["began"] + request.get("duration", live_view.NOW)
        return bool(request["thread"] != stuck["thread"] or ended < stuck["began"])

    made["open"] = [stuck, *filter(stays, made["open"])]
    made["recent"] = list(filter(stays, made["recent"]))
    return made


def answer(route: Route) -> None:
    """Answer as the application would."""
    path = urlsplit(route.request.url).path[1:] or "index.html"
    if path == "requests.json":
        route.fulfill(json=picture())
    elif path == "stack.json":
        route.fulfill(json=live_view.stack("made up"))
    else:
        route.fulfill(body=(FILES / path).read_bytes(), content_type=f"{TYPES[Path(path).suffix]}; charset=utf-8")


def draw(page: Page) -> bytes:
    """The upper part of the page with its first row open, as a PNG of few colours."""
    page.route("**/*", answer)
    page.goto("http://live.example/")
    page.wait_for_selector("#state[data-state=live]")
    page.locator("#open button").first.click()
    page.wait_for_selector(".innermost")
    page.mouse.move(0, 0)
    page.locator("#open button").first.blur()
    end = page.locator("#flight").bounding_box()
    assert end is not None
    clip: FloatRect = {"x": 0, "y": 0, "width": WIDTH, "height": end["y"] + end["height"] + 24}
    drawn = Image.open(io.BytesIO(page.screenshot(clip=clip, full_page=True))).convert("RGB")
    saved = io.BytesIO()
    with_few_colours(drawn).save(saved, "PNG", optimize=True)
    return saved.getvalue()


def with_few_colours(drawn: Image.Image) -> Image.Image:
    """The same in its commonest colours: areas keep theirs, and the edges of letters take one that is near."""
    counted: list[tuple[int, Any]] = drawn.getcolors(drawn.width * drawn.height) or []
    palette = Image.new("P", (1, 1))
    palette.putpalette([part for _, colour in sorted(counted)[-256:] for part in colour])
    return drawn.quantize(palette=palette, dither=Image.Dither.NONE)


def main(target: str) -> None:
    """Draw it into the file."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        page = browser.new_page(
            viewport={"width": WIDTH, "height": HEIGHT}, device_scale_factor=SCALE, reduced_motion="reduce"
        )
        Path(target).write_bytes(draw(page))
        page.unroute_all(behavior="ignoreErrors")
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
