"""The watchdog: which requests it names, when, and how."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from support.helpers import PATIENCE, Boom, in_thread
from support.requests import answer, ctx
from support.watchdog import NEVER, Log, hang, start

from tlctx import Scope
from tlctx.gunicorn import _watchdog, overdue
from tlctx.lowlevel import bound, close_after


def test_an_overdue_request_is_named_once_with_its_stack_and_again_when_it_ends(log: Log) -> None:
    start()
    found: list[str] = []
    before = overdue()

    def app(environ: Any, start_response: Any) -> Any:
        found.extend([str(Scope.current(ctx)), hang(log)])
        assert overdue() == (1, before.total + 1)
        return [b"x"]

    answer(app)
    name, message = found
    lines = message.splitlines()
    assert lines[0].startswith(f"{name}: overdue after ")
    assert f"on thread MainThread ({threading.get_ident()})" in lines[0]
    assert "    return log.next()  # it hangs here" in lines
    assert log.next().startswith(f"{name}: ended at last, after ")
    assert overdue() == (0, before.total + 1)
    assert log.is_empty


def test_the_error_that_ended_it_is_named(log: Log) -> None:
    start()
    with pytest.raises(Boom), ctx.scope():
        hang(log)
        raise Boom
    assert log.next().endswith(" s, with Boom")


def test_a_request_that_ends_in_time_is_not_named(log: Log) -> None:
    watchdog = start(NEVER)
    answer(lambda environ, start_response: [])
    assert watchdog._open == {}
    watchdog.stop()
    assert log.is_empty


def test_one_that_ends_does_not_cancel_the_others(log: Log) -> None:
    start()
    stuck = Scope(ctx)
    with bound(stuck):
        in_thread(lambda: answer(lambda environ, start_response: []))
        while not log.next().startswith(f"{stuck}: overdue"):
            pass
    stuck.close()


def test_what_was_open_before_it_started_is_watched_too(log: Log) -> None:
    with ctx.scope() as scope:
        start()
        assert log.next().startswith(f"{scope}: overdue")


def test_a_stream_that_waits_for_its_server_is_named_without_a_stack(log: Log) -> None:
    start()
    body = answer(lambda environ, start_response: (b"x" for _ in range(3)))
    iterator = iter(body)
    next(iterator)
    message = log.next()
    body.close()
    assert "no code of it runs now, " in message
    assert "\n" not in message
    assert f"last on thread MainThread ({threading.get_ident()})" in message


def test_the_chunks_that_were_sent_are_counted(log: Log) -> None:
    def stream() -> Iterator[bytes]:
        yield b"one"
        yield b"two"
        start()
        messages.append(hang(log))

    messages: list[str] = []
    list(answer(lambda environ, start_response: stream()))
    assert messages[0].splitlines()[0].endswith("), 2 chunks sent")


def test_requests_that_are_ignored_are_not_named(log: Log) -> None:
    asked = threading.Event()

    def ignore(scope: Scope) -> bool:
        if scope.label == "a long poll":
            asked.set()
        return scope.label == "a long poll"

    watchdog = start(ignore=ignore)
    with Scope(ctx, label="a long poll"):
        assert asked.wait(PATIENCE)
        with ctx.scope() as scope:
            assert log.next().startswith(f"{scope}: overdue")
    watchdog.stop()
    assert log.next().startswith(f"{scope}: ended")
    assert log.is_empty


def test_a_path_or_a_name_of_a_thread_forges_no_line(log: Log) -> None:
    start()
    messages: list[str] = []
    scope = Scope(ctx, label="GET /\r\n\x85\u2028\x1b[31mrequest #1: ended at last")

    def run() -> None:
        scope.run(lambda: messages.append(log.next()))

    thread = threading.Thread(target=run, name="gthread_1\nrequest #2: \x1b[0m")
    thread.start()
    thread.join(PATIENCE)
    scope.close()
    head, *stack = messages[0].splitlines()
    assert r"GET /\r\n\x85\u2028\x1b[31mrequest #1: ended at last" in head
    assert r"on thread gthread_1\nrequest #2: \x1b[0m (" in head
    assert all(line.startswith("  ") for line in stack)
    assert messages[0].replace("\n", "").isprintable()


def test_many_at_once_are_all_named_the_oldest_with_their_stacks(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_watchdog, "MOST_STACKS", 2)
    scopes = [Scope(ctx) for _ in range(4)]
    blocks = [bound(scope) for scope in scopes]
    for block in blocks:
        block.__enter__()
    watchdog = start()
    messages = [log.next() for _ in scopes]
    for block in reversed(blocks):
        block.__exit__(None, None, None)
    watchdog.stop()
    for scope in scopes:
        scope.close()
    assert [message.partition(": ")[0] for message in messages] == list(map(str, scopes))
    assert ["\n" in message for message in messages] == [True, True, False, False]


def test_scopes_of_other_threads_and_jobs_are_watched(log: Log) -> None:
    start()
    scope = Scope(ctx, label="job 7")
    assert in_thread(lambda: scope.run(log.next)).startswith(f"{scope}: overdue")
    close_after(Boom(), scope)
    assert log.next().endswith("with Boom")
