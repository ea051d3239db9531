"""The page while a real gunicorn serves requests that hang, stream, fail, and have hostile names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("playwright.sync_api", reason="needs playwright")

from playwright.sync_api import Locator, expect
from servers.live_view.visit import Client, Visit
from support.processes import get

pytestmark = pytest.mark.servers

APP = Path(__file__).parents[2] / "support" / "live_view_app.py"


def seconds(age: Locator) -> float:
    number, unit = (age.text_content() or "").split()
    return float(number) / (1000 if unit == "ms" else 1)


def width(bar: Locator) -> float:
    """How wide the visible part of a bar is: it runs on behind the right edge."""
    return float(
        bar.evaluate("bar => bar.closest('.track').getBoundingClientRect().right - bar.getBoundingClientRect().x")
    )


def test_a_stuck_request_is_shown_and_ages_and_its_stack_names_the_line_and_it_goes_when_it_is_done(
    visit: Visit, port: int
) -> None:
    with Client(port, "/stuck/first") as stuck, Client(port, "/stuck/second") as other:
        _see_it(visit.open(), port, stuck, other)


def _see_it(visit: Visit, port: int, stuck: Client, other: Client) -> None:
    row, bar = visit.row("/stuck/first"), visit.bar("/stuck/first")
    expect(row).to_be_visible()
    expect(bar).to_be_visible()
    age = row.locator(".amount")
    young, short = seconds(age), width(bar)
    expect(row).to_have_class(re.compile(r"\bslow\b"))  # as it is older than a second by now
    assert seconds(age) > young
    assert width(bar) > short

    row.get_by_role("button").click()
    frames = visit.page.locator(".details .frame")
    expect(frames.first).to_have_class(re.compile("library.*innermost"))
    expect(frames.first).to_contain_text("wait")
    expect(frames.first).to_contain_text("stands here")
    lines = APP.read_text().splitlines()
    (number,) = [number for number, line in enumerate(lines, 1) if "# where it hangs" in line]
    own = visit.page.locator(".details .frame.own")
    expect(own).to_have_count(1)
    expect(own).to_contain_text(f"live_view_app.py:{number}")
    expect(own.locator("code")).to_contain_text("gates[gate].wait(60)")

    get(port, "/open/second")
    expect(visit.row("/stuck/second")).to_have_count(0)
    assert b"free again" in other.read()
    get(port, "/open/first")
    expect(row.locator(".tag")).to_have_text("ended")  # it was open, so it stays until it is closed
    row.get_by_role("button").click()
    expect(row).to_have_count(0)
    expect(bar).to_have_count(0)
    assert b"free again" in stuck.read()
    expect(visit.page.locator("#slowest tr").filter(has_text="/stuck/first")).to_be_visible()


def test_a_stream_that_nobody_reads_waits_and_counts_its_chunks_and_goes_with_its_client(
    visit: Visit, port: int
) -> None:
    row = visit.row("/stream")
    with Client(port, "/stream"):
        visit.open()
        expect(row.locator(".state")).to_have_text(re.compile(r"^waiting, \d+ chunks$"))
        expect(visit.bar("/stream")).to_have_class(re.compile("waiting"))
        row.get_by_role("button").click()
        expect(visit.page.locator(".details .note")).to_contain_text("It runs nowhere now")
        row.get_by_role("button").click()
    expect(row).to_have_count(0)


def test_what_has_failed_is_shown_with_its_error_and_not_with_its_message(visit: Visit, port: int) -> None:
    assert get(port, "/fail")[0] == 500
    visit.open()
    failed = visit.page.locator("#failed tr").filter(has_text="/fail").first
    expect(failed.locator(".error")).to_have_text("LookupError")
    expect(visit.page.locator("#lanes .bar.failed").first).to_be_visible()
    route = visit.page.locator("#routes tr").filter(has_text="GET /fail")
    expect(route.locator(".bars")).to_have_attribute("aria-label", re.compile(r"^(up to|\d+ ms to) "))
    text = visit.page.locator("body").text_content() or ""
    assert "nobody may read" not in text
    assert "never shown" not in text


def test_a_path_with_markup_or_escape_sequences_is_text(visit: Visit, port: int) -> None:
    markup = "%3Cimg%20src=x%20onerror=%22document.title='owned'%22%3E%1b%5b31m%e2%80%ae"
    with Client(port, f"/stuck/{markup}") as client:
        visit.open()
        row = visit.page.locator("#open tr.request").filter(has_text="<img src=x onerror=\"document.title='owned'\">")
        expect(row.locator(".path")).to_contain_text("\\x1b[31m\\u202e")
        expect(visit.page.locator("img")).to_have_count(0)
        expect(visit.page).to_have_title(re.compile("in flight$"))
        get(port, f"/open/{markup}")
        client.read()
        expect(row).to_have_count(0)
