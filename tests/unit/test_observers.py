"""Observers: who is told when a scope begins and ends, on every path of a request."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import weakref
from typing import TYPE_CHECKING, Any

import pytest
from support.helpers import Payload, in_thread

from tlctx import ContextMiddleware, RequestContext
from tlctx.lowlevel import Observer, Scope, add_observer, bound, remove_observer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Ctx(RequestContext):
    user: str = "nobody"


class Recorder(Observer):
    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []

    def begin(self, scope: Scope) -> None:
        self.events.append(("begin", scope.label, scope.ended))

    def end(self, scope: Scope, error: BaseException | None) -> None:
        self.events.append(("end", scope.label, scope.ended, error))

    def drop(self, scope: Scope) -> None:
        self.events.append(("drop", scope.label, scope.ended))


@pytest.fixture
def ctx() -> Ctx:
    return Ctx()


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    recorder = Recorder()
    add_observer(recorder)
    yield recorder
    remove_observer(recorder)


def serve(app: Callable[..., Any], ctx: Ctx) -> Any:
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/notes"}
    return ContextMiddleware(app, ctx)(environ, lambda status, headers, exc_info=None: lambda data: None)


GET_NOTES = "GET /notes"
BEGUN = ("begin", GET_NOTES, False)
ENDED = ("end", GET_NOTES, True, None)


def test_an_observer_is_told_of_a_plain_request(ctx: Ctx, recorder: Recorder) -> None:
    assert serve(lambda environ, start_response: [b"x"], ctx) == [b"x"]
    assert recorder.events == [BEGUN, ENDED]


def test_an_observer_is_told_of_a_streamed_request(ctx: Ctx, recorder: Recorder) -> None:
    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        yield b"x"

    body = serve(app, ctx)
    assert list(body) == [b"x"]
    assert recorder.events == [BEGUN]
    body.close()
    assert recorder.events == [BEGUN, ENDED]


def test_an_observer_is_told_of_the_error_that_ended_a_request(ctx: Ctx, recorder: Recorder) -> None:
    error = ZeroDivisionError()

    def app(environ: Any, start_response: Any) -> Any:
        raise error

    with pytest.raises(ZeroDivisionError):
        serve(app, ctx)
    assert recorder.events == [BEGUN, ("end", GET_NOTES, True, error)]


def test_an_observer_is_told_of_an_error_that_somebody_handled(ctx: Ctx, recorder: Recorder) -> None:
    error = ZeroDivisionError()

    def app(environ: Any, start_response: Any) -> list[bytes]:
        current = Scope.current(ctx)
        assert current is not None
        current.fail(error)
        return []

    serve(app, ctx)
    assert recorder.events == [BEGUN, ("end", GET_NOTES, True, error)]


def test_an_observer_is_told_once_the_teardown_has_run(ctx: Ctx, recorder: Recorder) -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        ctx.callback(lambda: recorder.events.append(("torn down", ctx.user)))
        return []

    serve(app, ctx)
    assert recorder.events == [BEGUN, ("torn down", "nobody"), ENDED]


def test_an_observer_is_told_of_a_dropped_body(ctx: Ctx, recorder: Recorder, caplog: pytest.LogCaptureFixture) -> None:
    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        yield b"x"

    body = serve(app, ctx)
    next(iter(body))
    del body
    gc.collect()
    assert recorder.events == [BEGUN, ("drop", GET_NOTES, False), ENDED]
    assert "dropped its body" in caplog.text


def test_an_observer_is_told_of_a_scope_by_hand_once_however_often_it_is_bound(ctx: Ctx, recorder: Recorder) -> None:
    scope = Scope(ctx, label="job 7")
    assert recorder.events == []
    for _ in range(3):
        with bound(scope):
            pass
    with ctx.scope():
        pass
    scope.close()
    assert recorder.events == [
        ("begin", "job 7", False), ("begin", "", False), ("end", "", True, None), ("end", "job 7", True, None),
    ]  # fmt: skip


def test_an_observer_is_told_of_a_scope_in_a_coroutine(ctx: Ctx, recorder: Recorder) -> None:
    async def job() -> None:
        with ctx.scope():
            recorder.events.append(("runs", ctx.user))

    asyncio.run(job())
    assert recorder.events == [("begin", "", False), ("runs", "nobody"), ("end", "", True, None)]


def test_an_observer_finds_the_thread_that_a_scope_began_on(ctx: Ctx) -> None:
    class Threads(Observer):
        def begin(self, scope: Scope) -> None:
            seen.append(scope.thread)

    seen: list[int] = []
    observer = Threads()
    add_observer(observer)
    try:
        ident = in_thread(lambda: [serve(lambda environ, start_response: [], ctx), threading.get_ident()][1])
    finally:
        remove_observer(observer)
    assert seen == [ident]


def test_what_an_observer_raises_is_logged_and_the_others_are_told(
    ctx: Ctx, recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Observer):
        def begin(self, scope: Scope) -> None:
            raise ZeroDivisionError

        def end(self, scope: Scope, error: BaseException | None) -> None:
            raise ZeroDivisionError

        def __repr__(self) -> str:
            return "Broken"

    broken, last = Broken(), Recorder()
    add_observer(broken)
    add_observer(last)
    try:
        with caplog.at_level(logging.ERROR, logger="tlctx"):
            assert serve(lambda environ, start_response: [b"x"], ctx) == [b"x"]
    finally:
        remove_observer(broken)
        remove_observer(last)
    assert recorder.events == last.events == [BEGUN, ENDED]
    assert [record.getMessage().partition(": ")[2] for record in caplog.records] == [
        "observer Broken failed in begin()", "observer Broken failed in end()",
    ]  # fmt: skip


def test_a_removed_observer_is_told_nothing_any_more(ctx: Ctx) -> None:
    recorder = Recorder()
    add_observer(recorder)
    remove_observer(recorder)
    serve(lambda environ, start_response: [], ctx)
    assert recorder.events == []
    with pytest.raises(ValueError, match="never added, or was removed before"):
        remove_observer(recorder)


@pytest.mark.parametrize("wrong", [Recorder, None, print])
def test_what_is_no_observer_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"an observer must be a tlctx\.lowlevel\.Observer") as refused:
        add_observer(wrong)
    assert ("give an instance, not the class" in str(refused.value)) == (wrong is Recorder)


def test_of_observers_that_claim_to_be_equal_the_right_one_is_removed(ctx: Ctx) -> None:
    class Equal(Recorder):
        __hash__ = None  # type: ignore[assignment]

        def __eq__(self, other: object) -> bool:
            return True

    first, second = Equal(), Equal()
    add_observer(first)
    add_observer(second)
    remove_observer(second)
    serve(lambda environ, start_response: [], ctx)
    remove_observer(first)
    assert (first.events, second.events) == ([BEGUN, ENDED], [])


def test_what_may_end_the_process_goes_on_out_of_an_observer(ctx: Ctx) -> None:
    class Interrupted(Observer):
        def end(self, scope: Scope, error: BaseException | None) -> None:
            raise KeyboardInterrupt

    observer = Interrupted()
    add_observer(observer)
    try:
        with pytest.raises(KeyboardInterrupt):
            Scope(ctx).close()
    finally:
        remove_observer(observer)


def test_an_observer_is_told_of_the_end_once_however_often_a_scope_is_closed(ctx: Ctx, recorder: Recorder) -> None:
    for close in (Scope.close, Scope.close_if_idle):
        scope = Scope(ctx)
        close(scope)
        scope.close()
        assert scope.close_if_idle()
        assert recorder.events == [("end", "", True, None)]
        recorder.events.clear()


def test_when_an_observer_is_told_of_the_end_the_source_is_gone(ctx: Ctx) -> None:
    class Looks(Observer):
        def end(self, scope: Scope, error: BaseException | None) -> None:
            found.append(source())

    found: list[Any] = []
    scope = Scope(ctx, Payload())
    source = weakref.ref(scope.source)
    observer = Looks()
    add_observer(observer)
    try:
        scope.close()
    finally:
        remove_observer(observer)
    assert found == [None]


def test_an_observer_finds_the_thread_that_a_scope_of_a_coroutine_began_on(ctx: Ctx) -> None:
    class Threads(Observer):
        def begin(self, scope: Scope) -> None:
            found.append(scope.thread)

    async def job() -> None:
        with ctx.scope():
            pass

    found: list[int] = []
    observer = Threads()
    add_observer(observer)
    try:
        asyncio.run(job())
    finally:
        remove_observer(observer)
    assert found == [threading.get_ident()]


def test_an_observer_that_removes_itself_does_not_hide_the_next_one(ctx: Ctx, recorder: Recorder) -> None:
    class Once(Observer):
        def begin(self, scope: Scope) -> None:
            remove_observer(self)

    add_observer(Once())
    last = Recorder()
    add_observer(last)
    try:
        serve(lambda environ, start_response: [], ctx)
    finally:
        remove_observer(last)
    assert last.events == [BEGUN, ENDED]
