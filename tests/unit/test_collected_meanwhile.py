"""Who looks at the open requests while the collector ends them, one after the other, in the middle of it."""

from __future__ import annotations

import contextlib
import gc
from typing import TYPE_CHECKING, Any
from weakref import ref

import pytest
from support.inspecting import Ctx, inspecting, open_request

from tlctx.gunicorn import Watchdog
from tlctx.inspector import open_requests
from tlctx.lowlevel import add_observer, open_scopes, remove_observer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextlib.contextmanager
def ending(bodies: list[Any]) -> Iterator[None]:
    """A block in which the collector runs as often as it can, and each time ends a request."""

    def end_one(phase: str, info: object) -> None:
        if bodies and phase == "start":
            bodies.pop(len(bodies) // 2).close()

    thresholds = gc.get_threshold()
    gc.callbacks.append(end_one)
    gc.set_threshold(1)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.callbacks.remove(end_one)


@pytest.mark.parametrize("look", [lambda inspector: inspector.look(), lambda inspector: open_requests()])
def test_the_view_of_requests_that_the_collector_ends_meanwhile(look: Callable[[Any], object]) -> None:
    ctx = Ctx()
    with inspecting(ctx) as inspector:
        bodies = [open_request(ctx) for _ in range(500)]
        with ending(bodies):
            look(inspector)
        assert len(bodies) < 500
        assert len(inspector.look().open) == len(bodies)
        for body in bodies:
            body.close()


def test_the_watchdog_of_requests_that_the_collector_ends_meanwhile() -> None:
    ctx, watchdog = Ctx(), Watchdog(after=1000)
    bodies = [open_request(ctx) for _ in range(500)]
    watchdog._open.update({scope.serial: ref(scope) for scope in open_scopes() if scope.context is ctx})
    add_observer(watchdog)
    try:
        with ending(bodies):
            watchdog._look()
    finally:
        remove_observer(watchdog)
    assert len(bodies) < 500
    assert len(watchdog._open) == len(bodies)
    for body in bodies:
        body.close()
