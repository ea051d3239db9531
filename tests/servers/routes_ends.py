"""How a body, or a request, ends: by `close()`, early, by a teardown that raises, or dropped."""

from __future__ import annotations

import gc
import threading
from typing import TYPE_CHECKING, Any

from servers import state
from servers.routing import Boom, answer, pieces, raising, route, start
from servers.state import PATIENCE, ctx, event, still_its_own, use

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Ends of a body, and of a request


class ClosingBody:
    """A body that does something in `close()`."""

    def __init__(self, tag: str, close: Callable[[], object]) -> None:
        self.chunks = pieces(tag, 3)
        self.on_close = close

    def __iter__(self) -> Iterator[bytes]:
        return self.chunks

    def close(self) -> None:
        self.on_close()


@route
def close_raises(environ: Any, start_response: Any, tag: str) -> Any:
    use(tag)
    start(start_response)
    return ClosingBody(tag, lambda: raising(Boom()))


@route
def teardown_raises(environ: Any, start_response: Any, tag: str) -> Any:
    """With other callbacks before and after it."""
    use(tag)
    event("opened", tag, *state.place())
    ctx.callback(raising, Boom())
    ctx.callback(event, "closed", tag)
    return answer(start_response, "text")


@route
def teardown_raises_after_stream(environ: Any, start_response: Any, tag: str) -> Any:
    use(tag)
    event("opened", tag, *state.place())
    ctx.callback(raising, Boom())
    ctx.callback(event, "closed", tag)
    start(start_response)
    return pieces(tag, 3)


# Ends before the body goes out


def chunks_after_the_end(tag: str, number: int = 3) -> Iterator[bytes]:
    for _ in range(number):
        state.has_ended(tag)
        yield b"late "
    state.has_ended(tag)


@route
def closed_early(environ: Any, start_response: Any, tag: str) -> Any:
    use(tag)
    start(start_response)
    state.close_early()
    return chunks_after_the_end(tag)


@route
def closed_early_and_the_teardown_raises(environ: Any, start_response: Any, tag: str) -> Any:
    use(tag)
    ctx.callback(raising, Boom())
    start(start_response)
    state.close_early()

    def body() -> Iterator[bytes]:
        event("foreign", tag, "the body was sent")
        yield b"late"

    return body()


@route
def closed_early_and_the_body_reads_on(environ: Any, start_response: Any, tag: str) -> Any:
    """A body that uses the context, although its request said that it would not."""
    use(tag)
    start(start_response)
    state.close_early()

    def body() -> Iterator[bytes]:
        yield b"first"
        event("foreign", tag, ctx.user)

    return body()


# Bodies that are dropped


@route
def drop_kept_body(environ: Any, start_response: Any, tag: str) -> Any:
    """Drop a body that nobody closed, during this request, and see whether this request's own data is still there."""
    use(tag)
    state.wait_for_kept_body()
    state.kept.clear()
    gc.collect()
    still_its_own(tag)
    return answer(start_response, tag)


@route
def drop_kept_body_on_another_thread(environ: Any, start_response: Any, tag: str) -> Any:
    use(tag)
    event("opened", tag, *state.place())

    def other() -> None:
        def nested(environ: Any, start_response: Any) -> Any:
            ctx.callback(event, "closed", tag)
            ctx.user = mine = f"{state.SECRET}-other-{tag}"
            state.wait_for_kept_body()
            state.kept.clear()
            gc.collect()
            if getattr(ctx, "user", None) != mine:
                event("foreign", tag, "on the other thread")
            return []

        body = state.Middleware(nested, ctx)({"REQUEST_METHOD": "GET"}, lambda *_: None)
        if hasattr(body, "close"):
            body.close()

    thread = threading.Thread(target=other)
    thread.start()
    thread.join(PATIENCE)
    still_its_own(tag)
    return answer(start_response, tag)
