"""No error's text shows what a field holds, nor do the locals of our frames, which error trackers show."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import field
from pathlib import Path
from typing import Any

import pytest
from support.exposure import (
    MARKER,
    Secret,
    anything,
    as_repr,
    begun,
    ctx,
    failing_teardown,
    fill,
    fill_and_raise,
    filled,
    in_a_file,
    in_a_list,
    in_a_stream,
    message,
    opened,
    raising_in_a_stream,
    serve,
    shown,
    unclosable,
)
from support.helpers import Boom, raise_boom

from tlctx import RequestContext, Scope, local


def a_local() -> Any:
    instance = local()
    instance.token = Secret()
    return instance


def refused_write(context: Any, name: str) -> Callable[[], object]:
    return lambda: setattr(context, name, Secret())


def scope_with(values: Any) -> Callable[[], object]:
    return lambda: Scope(ctx, values=values).__enter__()


class Interrupted(local):
    """A local whose property is interrupted while it is used."""

    def __init__(self) -> None:
        self.token = Secret()

    def interrupt(self, *_: Any) -> None:
        raise KeyboardInterrupt

    used = property(None, interrupt, interrupt)


class BeginsBadly(RequestContext):
    def __init__(self) -> None:
        self.token = Secret()
        raise Boom


class Strict(RequestContext, strict=True):
    token: Any


def in_strict(use: Callable[[Any], object]) -> Callable[[], object]:
    """A use of a context that refuses names which it does not declare."""

    def run() -> object:
        strict = Strict()
        with strict.scope(token=Secret()):
            return use(strict)

    return run


class MadeBadly(RequestContext):
    user: Any = Secret()
    tags: Any = field(default_factory=lambda: [Secret()])
    failing: Any = field(default_factory=raise_boom)


def kept(use: Callable[[Any], object]) -> Callable[[], object]:
    """A use of the values after their request's end."""

    def run() -> object:
        with filled():
            values = vars(ctx)
        return use(values)

    return run


def nested(app: Any) -> Callable[[], object]:
    """A request made while the code of another one runs."""

    def outer(environ: Any, start_response: Any) -> Any:
        fill()
        return serve(app)["nothing"]

    return lambda: serve(outer)


def answering_with_a_value(environ: Any, start_response: Any) -> Any:
    fill()
    return [str(ctx.token).encode()]


IN_A_SCOPE: dict[str, Callable[[], object]] = {
    "a missing name read": lambda: ctx.missing,
    "a missing name deleted": lambda: delattr(ctx, "missing"),
    "a missing name read from a local": lambda: a_local().missing,
    "a missing name deleted from a local": lambda: delattr(a_local(), "missing"),
    "a declared name read that is unset": lambda: ctx.unset,
    "a method assigned": refused_write(ctx, "scope"),
    "vars() assigned": refused_write(ctx, "__dict__"),
    "a property assigned": refused_write(ctx, "failing_property"),
    "a property that raises": lambda: ctx.failing_property,
    "per_request that raises": lambda: ctx.failing,
    "per_request that raises in a generator": lambda: ctx.failing_generator,
    "first values without names": scope_with({5: Secret()}),
    "first values that are no mapping": scope_with([("token", Secret())]),
    "a first value in the place of a method": scope_with({"scope": Secret()}),
    "an __init__ that raises": lambda: BeginsBadly().scope(token=Secret()).__enter__(),
    "a default that can't be made": lambda: MadeBadly().scope(token=Secret()),
    "a default that can't be made, in a request": lambda: begun(in_a_list, context=MadeBadly()),
    "a setdefault in the place of a method": lambda: ctx.setdefault("scope", Secret()),
    "a missing name popped": lambda: ctx.pop("missing"),
    "an undeclared name written": in_strict(lambda strict: setattr(strict, "other", Secret())),
    "an undeclared name in setdefault": in_strict(lambda strict: strict.setdefault("other", Secret())),
    "an undeclared name in vars()": in_strict(lambda strict: vars(strict).__setitem__("other", Secret())),
    "an undeclared name in vars(), setdefault": in_strict(lambda strict: vars(strict).setdefault("other", Secret())),
    "an undeclared name in an update": in_strict(lambda strict: vars(strict).update(other=Secret())),
    "an undeclared name in a merge": in_strict(lambda strict: vars(strict).__ior__({"other": Secret()})),
    "an undeclared first value": lambda: Strict().scope(other=Secret()).__enter__(),
    "per_request whose request ended meanwhile": lambda: ctx.ended_meanwhile,
    "a request whose app raises": lambda: serve(fill_and_raise),
}
ELSEWHERE: dict[str, Callable[[], object]] = {
    "a write outside": refused_write(ctx, "token"),
    "a write outside, of an undeclared name": refused_write(anything, "undeclared"),
    "an update outside": lambda: vars(ctx).update(token=Secret()),
    "a setdefault of the context outside": lambda: ctx.setdefault("token", Secret()),
    "a setdefault outside": lambda: vars(ctx).setdefault("token", Secret()),
    "a write after the end": kept(lambda values: values.__setitem__("token", Secret())),
    "a merge outside": lambda: vars(ctx).__ior__({"token": Secret()}),
    "a merge after the end": kept(lambda values: values.__ior__({"token": Secret()})),
    "a write that is interrupted": refused_write(Interrupted(), "used"),
    "a deletion that is interrupted": lambda: delattr(Interrupted(), "used"),
    "an update after the end": kept(lambda values: values.update({"token": Secret()})),
    "an app that raises": lambda: serve(fill_and_raise),
    "a stream that raises": lambda: serve(raising_in_a_stream),
    "a request in another whose app raises": nested(fill_and_raise),
    "a close() that raises": lambda: serve(unclosable),
    "initialize that raises": lambda: serve(in_a_list, fill_and_raise),
    "initialize that returns no mapping": lambda: serve(in_a_list, lambda environ: [("token", Secret())]),
    "initialize that returns no names": lambda: serve(in_a_list, lambda environ: {5: Secret()}),
    "initialize that returns a method's name": lambda: serve(in_a_list, lambda environ: {"scope": Secret()}),
    "a teardown that fails after a list": lambda: serve(failing_teardown(in_a_list)),
    "a teardown that fails after a stream": lambda: serve(failing_teardown(in_a_stream)),
    "a teardown that fails after a file": lambda: serve(failing_teardown(in_a_file)),
    "a teardown that fails after a value was sent": lambda: serve(failing_teardown(answering_with_a_value)),
}
CASES = {**IN_A_SCOPE, **ELSEWHERE}


def of_error(case: str, look: Callable[[BaseException], Any]) -> Any:
    """What `look` finds at the error that the case raises, where it is caught."""
    with filled() if case in IN_A_SCOPE else contextlib.nullcontext():
        try:
            CASES[case]()
        except (Exception, KeyboardInterrupt) as error:
            return look(error)
    pytest.fail("nothing was raised")


@pytest.mark.parametrize("case", CASES)
def test_the_text_of_an_error_shows_no_value_after(case: str) -> None:
    assert MARKER not in of_error(case, message)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("show", [as_repr, opened], ids=["by their repr", "opened"])
def test_the_locals_of_our_frames_show_no_value_after(case: str, show: Callable[[Any], str]) -> None:
    assert of_error(case, lambda error: shown(error, show)) == []


def test_a_value_in_a_local_would_be_seen() -> None:
    def fail_with_values() -> None:
        plain = Secret()
        within = {"within": [plain]}
        raise Boom(within)

    with pytest.raises(Boom) as caught:
        fail_with_values()
    for show in (as_repr, opened):
        found = [name for name in shown(caught.value, show, Path(__file__).parent) if "fail_with_values: " in name]
        assert {name.rpartition(" ")[2] for name in found} == {"plain", "within"}
    assert MARKER in message(caught.value)
