"""Somebody who looks at the live view with a browser."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from support import live_view
from support.helpers import PATIENCE
from support.inspecting import TOKEN

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Locator, Route


class Visit:
    """A page of its own, which shows what the server answers, or what the test makes up."""

    def __init__(self, browser: Browser, port: int) -> None:
        self.address = f"http://127.0.0.1:{port}/requests/"
        self.errors: list[str] = []
        self.hosts: set[str] = set()
        self.made_up: dict[str, Any] | None = None
        self.status = 200
        self.asked = 0
        self.status_expected = False
        """Whether the test makes requests fail, so that the browser says so."""
        self._context = browser.new_context(http_credentials={"username": "anybody", "password": TOKEN})
        self.page = self._context.new_page()
        self.page.on("console", self._note)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))

    def open(self, made_up: dict[str, Any] | None = None) -> Visit:
        """Open the page, and wait until it shows the requests."""
        if made_up is not None:
            self.made_up = made_up
            self.page.route("**/requests.json", self._answer)
            self.page.route("**/stack.json*", lambda route: route.fulfill(json=live_view.stack("x")))
        self.page.goto(self.address)
        self.page.wait_for_selector("#state[data-state=live]")
        return self

    def _note(self, message: ConsoleMessage) -> None:
        wanted = self.status_expected and message.text.startswith("Failed to load resource")
        if message.type == "error" and not wanted:
            self.errors.append(message.text)

    def _answer(self, route: Route) -> None:
        self.asked += 1
        route.fulfill(json=self.made_up, status=self.status)

    def row(self, path: str) -> Locator:
        """The row of a request in flight."""
        return self.page.locator("#open tr.request").filter(has=self.page.get_by_text(path, exact=True))

    def bar(self, text: str) -> Locator:
        """The bar of a running request."""
        return self.page.locator(f"#lanes .bar.running[title*='{text}']")

    def leave(self) -> None:
        self.page.unroute_all(behavior="ignoreErrors")
        self._context.close()


class Client:
    """A client who has asked, and reads the answer when it is told to."""

    def __init__(self, port: int, path: str) -> None:
        self._connection = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self._connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())

    def read(self) -> bytes:
        """The whole answer."""
        with self._connection.makefile("rb") as answer:
            return answer.read()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *error: object) -> None:
        """Hang up."""
        self._connection.close()
