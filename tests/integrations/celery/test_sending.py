"""Celery: what travels with a task, whichever way it is sent."""

from __future__ import annotations

import datetime
import enum
import traceback
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("celery", reason="needs Celery")

from celery import chord, group
from support.celery_app import TaskCtx, bare_app, messages_of, run_all, task_of, wire_of

HEADER = "tlctx.ctx"


class Colour(enum.StrEnum):
    RED = "red"


class Secretive:
    def __repr__(self) -> str:
        return "SESAME"


def endless() -> list[Any]:
    one: list[Any] = []
    one.append(one)
    return one


def deep() -> list[Any]:
    one: list[Any] = []
    for _ in range(100_000):
        one = [one]
    return one


def headers_of(app: Any) -> list[Any]:
    return [message.headers.get(HEADER) for message in messages_of(app)]


def test_allowed_values_are_there_in_the_task_and_others_are_not(
    app: Any, ctx: TaskCtx, look: Any, seen: list[Any]
) -> None:
    with ctx.scope(user="ann", tags=["a"], secret="SESAME"):
        look.delay()
        assert ctx.user == "ann"
    assert run_all(app) == 1
    assert seen == [("ann", ["a"], "none")]


def test_values_that_nobody_allowed_never_appear_in_a_message(app: Any, ctx: TaskCtx, look: Any) -> None:
    with ctx.scope(user="ann", secret="SESAME", undeclared="SESAME"):
        ctx.work.append("SESAME")
        look.delay()
        look.apply_async(headers={"own": "mine"}, countdown=1)
        app.send_task("look")
        (look.s() | look.s()).delay()
        group(look.s(), look.s()).delay()
    messages = wire_of(app)
    assert len(messages) == 6
    for message in messages:
        assert '\\"ann\\"' in message
        assert "SESAME" not in message
        assert "secret" not in message
        assert "undeclared" not in message


@pytest.mark.parametrize(
    "value",
    [
        *(None, True, 0, -1, 2**70, 1.5, 1e300, "", "naïve \U0001f600", "line\nbreak\0", "\ud800"),
        *([], {}, [[1], {"a": [None]}], {"": "", "ä": {"b": False}}),
    ],
    ids=ascii,
)
def test_a_value_of_a_json_type_arrives_as_it_is(app: Any, ctx: TaskCtx, value: Any) -> None:
    arrived: list[Any] = []

    @task_of(app)
    def note() -> None:
        arrived.append(ctx.tags)

    with ctx.scope(tags=value):
        note.delay()
    run_all(app)
    assert arrived == [value]
    assert type(arrived[0]) is type(value)


REFUSED: dict[str, Callable[[], Any]] = {
    "an object of type Secretive": Secretive,
    "an object of type tuple": lambda: ("SESAME",),
    "an object of type set": lambda: {"SESAME"},
    "an object of type bytes": lambda: b"SESAME",
    "an object of type date": lambda: datetime.date(2026, 1, 1),
    "an object of type Colour": lambda: Colour.RED,
    "an object of type OrderedDict": OrderedDict,
    "a float that is not finite": lambda: float("nan"),
    "a dict with a key that is no str": lambda: {1: "SESAME"},
    "something without end": endless,
    "too many levels": deep,
    "an int of thousands of digits": lambda: 10**5000,
}


@pytest.mark.parametrize("nested", [False, True], ids=["alone", "nested"])
@pytest.mark.parametrize("refusal", REFUSED)
def test_any_other_value_is_refused_and_nothing_is_sent(
    app: Any, ctx: TaskCtx, look: Any, refusal: str, nested: bool
) -> None:
    value = REFUSED[refusal]()
    with ctx.scope(user="ann", tags=[{"a": [value, "SESAME"]}] if nested else value):
        for send in (look.delay, look.s().apply_async, lambda: app.send_task("look"), look.apply):
            with pytest.raises(TypeError, match=r"TaskCtx.tags can't travel with the task look: it is, or") as caught:
                send()
            assert refusal in str(caught.value)
            assert_shows_nothing(caught.value)
    assert headers_of(app) == []


def assert_shows_nothing(error: BaseException) -> None:
    """A report with the locals of tlctx's frames shows no value."""
    assert error.__context__ is None
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    ours = [frame for frame in frames if frame.f_code.co_filename.endswith("tlctx/celery.py")]
    assert ours
    assert not [frame for frame in ours if "SESAME" in repr(frame.f_locals)]
    assert "SESAME" not in str(error)


def test_a_field_without_a_value_does_not_travel_and_a_default_does(app: Any, ctx: TaskCtx, look: Any) -> None:
    with ctx.scope():
        look.delay()
    assert headers_of(app) == ['{"user":"nobody"}']


def test_where_no_request_runs_there_is_no_header_and_the_task_has_the_defaults(
    app: Any, look: Any, seen: list[Any]
) -> None:
    look.delay()
    (message,) = wire_of(app)
    assert HEADER not in message
    run_all(app)
    assert seen == [("nobody", None, "none")]


def test_headers_that_are_there_stay_and_are_not_changed_for_the_caller(app: Any, ctx: TaskCtx, look: Any) -> None:
    own, given = {"own": "mine"}, {HEADER: '{"user":"bob"}'}
    with ctx.scope(user="ann"):
        look.apply_async(headers=own)
        look.apply_async(headers=given)
    first, second = messages_of(app)
    assert (first.headers["own"], first.headers[HEADER]) == ("mine", '{"user":"ann"}')
    assert second.headers[HEADER] == '{"user":"bob"}'
    assert (own, given) == ({"own": "mine"}, {HEADER: '{"user":"bob"}'})


def test_a_task_that_only_others_have_is_sent_with_values(app: Any, ctx: TaskCtx) -> None:
    with ctx.scope(user="ann"):
        app.send_task("elsewhere")
        app.signature("elsewhere").apply_async()
    assert headers_of(app) == ['{"user":"ann"}'] * 2


@pytest.mark.parametrize(
    ("send", "runs"),
    [
        (lambda look: (look.s() | look.s() | look.s()).delay(), 3),
        (lambda look: group(look.s(), look.s()).delay(), 2),
        (lambda look: group(look.s(), look.s() | look.s()).delay(), 3),
        (lambda look: look.apply_async(link=look.s()), 2),
        (lambda look: look.apply_async(link=[look.s(), look.s()]), 3),
        (lambda look: look.chunks([(1,), (2,)], 1).apply_async(), 2),
        (lambda look: look.map([1]).delay(), 1),
    ],
    ids=["chain", "group", "group with a chain", "link", "links", "chunks", "map"],
)
def test_whatever_a_sender_composes_each_task_has_the_senders_values(
    app: Any, ctx: TaskCtx, look: Any, seen: list[Any], send: Callable[[Any], Any], runs: int
) -> None:
    with ctx.scope(user="ann", tags=[1], secret="SESAME"):
        send(look)
    run_all(app)
    assert seen == [("ann", [1], "none")] * runs


def test_a_chord_that_is_unlocked_by_a_task_has_the_senders_values(
    app: Any, ctx: TaskCtx, look: Any, seen: list[Any]
) -> None:
    with ctx.scope(user="ann", tags=[1]):
        chord([look.s(), look.s()], look.s()).delay()
    run_all(app)
    assert seen == [("ann", [1], "none")] * 3


def test_what_a_task_sends_itself_has_the_values_of_that_moment(
    app: Any, ctx: TaskCtx, look: Any, seen: list[Any]
) -> None:
    @task_of(app)
    def outer() -> None:
        look.delay()
        with ctx.scope(user="eve"):
            look.delay()
        ctx.user = "bob"
        look.delay()
        ctx.pop("user")
        look.delay()

    with ctx.scope(user="ann"):
        outer.delay()
    run_all(app)
    assert [user for user, *_ in seen] == ["ann", "eve", "bob", "nobody"]


def test_a_task_of_another_application_may_send_with_a_scope_that_it_opens(
    app: Any, ctx: TaskCtx, look: Any, seen: list[Any]
) -> None:
    other = bare_app()

    @task_of(other)
    def outer() -> None:
        with ctx.scope(user="ann"):
            look.delay()
            look()  # as a function
            seen.append(ctx.user)
        look.delay()

    outer.delay()
    run_all(other)
    run_all(app)
    assert seen == [("ann", None, "none"), "changed", ("ann", None, "none"), ("nobody", None, "none")]
