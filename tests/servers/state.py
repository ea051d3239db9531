"""The state of the app under test: its context, and a file of events that records what each request opened and closed.

The environment says which middleware serves it (FAULTS_MIDDLEWARE: tlctx, naive, careless) and where the events go
(FAULTS_EVENTS). An event is a line of words; each begins with its name and the tag of the request it is about.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

from servers.naive import CarelessMiddleware, NaiveContext, NaiveMiddleware
from support.open_scopes import find_open_scopes

from tlctx import ContextMiddleware, OutsideRequestError, RequestContext, Scope, counters, lowlevel

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET = "S3CRET"  # is in every value, and must be in nothing that is logged or kept
EVENTS = os.open(os.environ["FAULTS_EVENTS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
FLAGS = Path(os.environ["FAULTS_EVENTS"]).parent
PATIENCE = 30.0


class Ctx(RequestContext):
    role: str = "visitor"


MIDDLEWARES = {"tlctx": ContextMiddleware, "naive": NaiveMiddleware, "careless": CarelessMiddleware}
Middleware: Any = MIDDLEWARES[os.environ["FAULTS_MIDDLEWARE"]]
tlctx_serves = Middleware is ContextMiddleware
ctx: Any = Ctx() if tlctx_serves else NaiveContext()
payloads: dict[str, weakref.ref[Payload]] = {}
kept: dict[str, Any] = {}  # bodies that no server closes, by tag


class Payload:
    """What one request stores."""

    def __init__(self, tag: str) -> None:
        self.tag = tag
        payloads[tag] = weakref.ref(self)

    def __repr__(self) -> str:
        return f"{SECRET}-{self.tag}"


def event(name: str, tag: str, *words: object) -> None:
    os.write(EVENTS, f"{name} {tag} {' '.join(map(str, words))}\n".encode())


def read_events() -> str:
    return Path(os.environ["FAULTS_EVENTS"]).read_text()


def place() -> tuple[int, int]:
    """The process and the thread, or greenlet, that runs this."""
    greenlet = sys.modules.get("greenlet")
    patched = "gevent.monkey" in sys.modules and sys.modules["gevent.monkey"].is_module_patched("threading")
    return os.getpid(), id(greenlet.getcurrent()) if greenlet and patched else threading.get_ident()


def visible() -> list[str]:
    """The names that can be read here and now beyond what every request has."""
    if not tlctx_serves:
        return sorted(set(ctx.names()) - {"role"})
    scope = Scope.current(ctx)
    return [] if scope is None else sorted(set(ctx) - {"role"})


def use(tag: str) -> None:
    """What every fault's request does first: check that it sees no other data, store a value, register a teardown."""
    for name in visible():
        event("foreign", tag, name)
    event("opened", tag, *place())
    ctx.callback(event, "closed", tag)
    ctx.user = f"{SECRET}-{tag}"
    ctx.payload = Payload(tag)


def close_early() -> None:
    """Have the request end before its body goes out; the naive middleware knows only `close()`."""
    if tlctx_serves:
        lowlevel.close_early(ctx)


def has_ended(tag: str) -> None:
    """Report it if the request's teardown did not run yet, or its values can still be read."""
    if f"closed {tag} " not in read_events() or visible():
        event("foreign", tag, "before the request's end")


def still_its_own(tag: str) -> None:
    """Report it if the context shows anything but what `use(tag)` stored."""
    if getattr(ctx, "user", None) != f"{SECRET}-{tag}":
        event("foreign", tag, getattr(ctx, "user", "nothing"))


def wait_for_flag(tag: str) -> None:
    """Wait until the client has set its flag."""
    wait_until((FLAGS / tag).exists)


def wait_for_kept_body() -> None:
    """Wait until the server has closed, on whatever thread, the body that is to be kept."""
    wait_until(lambda: bool(kept))


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)  # patched by gevent: other greenlets run meanwhile


def report(outside: list[str]) -> dict[str, Any]:
    """What this process still holds of earlier requests, as a later one sees it."""
    inside = visible()
    own = Scope.current(ctx) if tlctx_serves else None
    open_now = find_open_scopes(besides=own)
    return {
        "pid": os.getpid(),
        "place": place(),
        "outside": outside,
        "inside": inside,
        "living": [tag for tag, payload in payloads.items() if payload() is not None],
        "open": open_now,
        "cleanups": list(counters()),
    }


def use_at_import() -> None:
    """What a careless module does: under --preload, in the process that forks the workers."""
    event("opened", "import", *place())
    try:
        ctx.user = f"{SECRET}-import"
        ctx.payload = Payload("import")
        ctx.callback(event, "closed", "import")
    except OutsideRequestError:
        with ctx.scope(user=f"{SECRET}-import"):
            ctx.payload = Payload("import")
            ctx.callback(event, "closed", "import")


if os.environ.get("FAULTS_AT_IMPORT"):
    use_at_import()
