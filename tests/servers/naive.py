"""The middleware that everybody writes first: set on entry, clear in `close()`. It shows that the suite finds a leak.

It offers what the app under test uses of tlctx, on `threading.local`.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


EARLY = threading.local if os.environ.get("FAULTS_EARLY_LOCAL") else None
"""The class as it is before gevent patches: what most modules have that import it at their top."""


class NaiveContext:
    """Values of the thread. `start_afresh` forgets those of all threads, so that each test begins without old leaks."""

    def __init__(self) -> None:
        self.start_afresh()

    def start_afresh(self) -> None:
        object.__setattr__(self, "values", (EARLY or threading.local)())

    def __getattr__(self, name: str) -> Any:
        return getattr(self.values, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.values, name, value)

    def callback(self, function: Callable[..., Any], *args: Any) -> None:
        self.values.__dict__.setdefault("teardown", []).append((function, args))

    def names(self) -> list[str]:
        return [name for name in self.values.__dict__ if name != "teardown"]

    def clear(self) -> None:
        values = self.values.__dict__
        for function, args in reversed(values.get("teardown", [])):
            function(*args)
        values.clear()


class NaiveMiddleware:
    def __init__(self, app: Any, ctx: NaiveContext) -> None:
        self.app = app
        self.ctx = ctx

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        self.ctx.role = "visitor"
        return ClosingBody(self.app(environ, start_response), self.ctx)


class ClosingBody:
    def __init__(self, body: Iterable[bytes], ctx: NaiveContext) -> None:
        self.body = body
        self.ctx = ctx

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.body)

    def close(self) -> None:
        close = getattr(self.body, "close", None)
        if close is not None:
            close()
        self.ctx.clear()


class CarelessMiddleware(NaiveMiddleware):
    """Sets on entry and never clears: whatever the fault is, the suite has to find that."""

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        self.ctx.role = "visitor"
        return self.app(environ, start_response)  # type: ignore[no-any-return]
