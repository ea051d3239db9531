"""The page with answers that are made up: what a refresh keeps, what it says when it gets none, who can use it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("playwright.sync_api", reason="needs playwright")
pytest.importorskip("axe_playwright_python", reason="needs axe-playwright-python")

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect
from support import live_view

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Route
    from servers.live_view.visit import Visit

pytestmark = pytest.mark.servers


def everything() -> dict[str, Any]:
    picture = live_view.busy(2, processes=2, hosts=2)
    picture["processes"][1] |= {"reached": False, "seen": 31, "dropped_bodies": 2}
    picture["open"].insert(
        0, live_view.request(9_000, "/reports/2025", age=42.3, trace="4bf92f3577b34da6a3ce929d0e0e4736")
    )
    return picture | {"truncated": 3, "trouble": ["Redis at 10.0.0.5:6379 can't be reached"]}


def test_axe_finds_nothing_at_any_width_in_light_and_dark_and_nothing_is_wider_than_the_screen(visit: Visit) -> None:
    page = visit.page
    page.emulate_media(reduced_motion="reduce")
    visit.open(everything())
    page.locator("#open button").first.click()
    expect(page.locator(".details .innermost")).to_be_visible()
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert violations(page) == {"light": [], "dark": []}
    visit.made_up = live_view.answer()
    expect(page.locator("#failed-empty")).to_be_visible()
    page.locator("#open button").first.click()  # the request has ended; closing its row takes it away
    expect(page.locator("#open-empty")).to_be_visible()
    assert violations(page) == {"light": [], "dark": []}


def violations(page: Any) -> dict[str, list[tuple[str, str]]]:
    """What axe finds in each color scheme: the rule, and the element."""
    found: dict[str, list[tuple[str, str]]] = {}
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") is (scheme == "dark")
        results = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
        found[scheme] = [(each["id"], node["html"]) for each in results for node in each["nodes"]]
    return found


def test_a_refresh_keeps_the_focus_the_place_and_what_is_open(visit: Visit) -> None:
    page = visit.page
    requests = [live_view.request(number, f"/{number}", age=30 - number) for number in range(20)]
    visit.open(live_view.answer(open=requests))
    visit.row("/10").get_by_role("button").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".details .innermost")).to_be_visible()
    page.locator(".details summary").click()
    visit.row("/12").get_by_role("button").focus()
    page.evaluate("scrollTo(0, 300)")
    grown = [request | {"age": request["age"] + 1} for request in requests[1:]]
    visit.made_up = live_view.answer(open=[*grown, live_view.request(99, "/new", age=0.1)])
    expect(visit.row("/new")).to_be_visible()
    expect(visit.row("/0")).to_have_count(0)
    expect(visit.row("/12").get_by_role("button")).to_be_focused()
    expect(page.locator(".details details")).to_have_attribute("open", "")
    assert abs(page.evaluate("scrollY") - 300) < 60  # the browser moves with the row that has gone above
    visit.made_up = live_view.answer(open=[])
    expect(visit.row("/12")).to_have_count(0)
    expect(page.locator("#flight-title")).to_be_focused()
    expect(visit.row("/10").locator(".tag")).to_have_text("ended")


def test_it_pauses_by_the_button_and_while_the_tab_is_hidden(visit: Visit) -> None:
    page = visit.page
    page.add_init_script("Object.defineProperty(document, 'hidden', {get: () => Boolean(window.pretended)})")
    page.clock.install()
    visit.open(live_view.answer())

    def asked_in_a_minute() -> int:
        before = visit.asked
        for _ in range(6):
            page.clock.run_for(10_000)
        page.evaluate("0")  # after what the clock set off
        return visit.asked - before

    assert asked_in_a_minute() > 0
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#state")).to_have_text("Paused")
    assert asked_in_a_minute() <= 1  # one may have been under way
    assert asked_in_a_minute() == 0
    page.get_by_role("button", name="Resume").click()
    page.wait_for_selector("#state[data-state=live]")
    page.evaluate("window.pretended = true; document.dispatchEvent(new Event('visibilitychange'))")
    assert asked_in_a_minute() <= 1
    assert asked_in_a_minute() == 0
    before = visit.asked
    with page.expect_request("**/requests.json"):
        page.evaluate("window.pretended = false; document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.locator("#state")).to_have_text("Live")
    assert visit.asked > before


def test_it_says_why_it_shows_nothing_new(visit: Visit) -> None:
    page, later = visit.page, visit.page.clock.run_for
    page.clock.install()
    visit.status_expected = True
    visit.open(live_view.answer(open=[live_view.request(1, "/kept", age=3)]))
    notice, state = page.locator(".notice.problem"), page.locator("#state")

    def answer(do: Callable[[Route], None], after: int = 20_000) -> None:
        page.unroute("**/requests.json")
        page.route("**/requests.json", do)
        with page.expect_request("**/requests.json"):
            later(after)

    answer(lambda route: route.fulfill(status=503))
    expect(notice).to_have_text("The server answers with an error: status 503.")
    expect(page.locator(".notice.stale")).to_contain_text("What is shown is from ")
    expect(visit.row("/kept")).to_be_visible()
    answer(lambda route: route.abort())
    expect(notice).to_have_text("The server can't be reached.")
    answer(lambda route: route.fulfill(body="<html>", content_type="text/html"))
    expect(notice).to_have_text("The server answers, but with something else than this page understands.")
    answer(lambda route: route.fulfill(json=live_view.answer()))
    expect(state).to_have_text("Live")
    expect(notice).to_have_count(0)

    held: list[Route] = []

    def hold(route: Route) -> None:  # playwright can't call a method of a list
        held.append(route)

    answer(hold, after=1_500)
    later(6_000)
    expect(state).to_have_text("Stale")
    for route in held:
        route.fulfill(status=401)
    expect(notice).to_have_text("The token is refused. Reload the page to enter another.")
    page.unroute("**/requests.json")
    later(60_000)  # it asks no more, as the browser would ask for a password each time
    expect(state).to_have_text("Refused")
    page.get_by_role("button", name="Try again").click()
    expect(state).to_have_text("Live")


def test_hundreds_of_requests_and_hostile_names_are_shown_shortened(visit: Visit) -> None:
    page = visit.page
    names = live_view.HOSTILE
    requests = [live_view.request(number, names[number % len(names)], age=60, method=names[0]) for number in range(300)]
    for number, request in enumerate(requests):
        name = names[number % len(names)]
        request |= {"thread": {"id": number, "name": name}, "fields": [name], "values": {name: name}, "route": name}
    finished = [live_view.finished(number, name, ago=2, took=1, error=name) for number, name in enumerate(names)]
    routes = [{"name": name, "count": 1, "failed": 1, "seconds": 1, "buckets": [1] * 12} for name in names]
    processes = [live_view.process(number, name, id=name) for number, name in enumerate(names)] + [live_view.process(1)]
    lists = {"open": requests, "failed": finished, "slowest": finished, "recent": finished, "routes": routes}
    visit.open(live_view.answer(**lists, trouble=names, processes=processes))
    expect(page.locator("#open tr")).to_have_count(25)
    page.get_by_role("button", name="Show 275 more requests").click()
    expect(page.locator("#open tr")).to_have_count(300)
    page.locator("#open button").nth(5).click()
    expect(page.locator(".details .innermost")).to_be_visible()
    expect(page.locator("main :is(script, img, a)")).to_have_count(0)
    expect(page).to_have_title("300 in flight")
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", page.locator("main").text_content() or "")
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280


def test_a_bar_opens_the_row_of_its_request(visit: Visit) -> None:
    lanes = [{"id": number, "name": f"gthread_{number}"} for number in range(40)]
    requests = [live_view.request(number, f"/{number}", age=41 - number, thread=lanes[number]) for number in range(40)]
    visit.page.emulate_media(reduced_motion="reduce")  # a bar that moves is hard to hit
    visit.open(live_view.answer(open=requests))
    visit.page.get_by_role("button", name="Show 16 more threads").click()
    visit.bar("/39,").click()
    expect(visit.row("/39").get_by_role("button")).to_be_focused()
    expect(visit.row("/39").get_by_role("button")).to_have_attribute("aria-expanded", "true")
