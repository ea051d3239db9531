"""What a field holds shows nowhere: not in the environ, a repr, a copy, a pickle, or a log line of ours."""

from __future__ import annotations

import contextlib
import copy
import functools
import gc
import logging
import pickle
import pprint
from collections.abc import Callable
from typing import Any

import pytest
from support.exposure import (
    APPS,
    MARKER,
    Secret,
    SecretCtx,
    anything,
    as_repr,
    begun,
    ctx,
    failing_teardown,
    filled,
    in_a_file,
    in_a_list,
    in_a_sized_body,
    in_a_stream,
    message,
    opened,
    parts,
    serve,
    shown,
    unclosable,
)
from support.helpers import Boom

from tlctx import ContextMiddleware, Scope, local


def texts(thing: Any) -> list[str]:
    return [repr(thing), str(thing), f"{thing}", f"{[thing]}", pprint.pformat(thing)]


@pytest.mark.parametrize("app", APPS)
def test_nothing_in_the_environ_shows_a_value(app: Any) -> None:
    def watched(environ: Any, start_response: Any) -> Any:
        body = app(environ, start_response)
        look(environ)
        return body

    def look(environ: Any) -> None:
        looked.append([text for part in parts(environ) for text in texts(part)])

    looked: list[list[str]] = []
    both = ContextMiddleware(watched, anything, lambda environ: {"undeclared": Secret()})
    environ, body = begun(both, lambda environ: {"token": Secret(), "user": Secret()})
    look(environ)
    list(body)
    getattr(body, "close", lambda: None)()
    look(environ)
    assert len(looked) == 3
    assert MARKER not in repr(looked)


def plain_local() -> Any:
    instance = local()
    instance.token = Secret()
    return instance


def body_of(app: Any) -> Any:
    return begun(app)[1]


THINGS: dict[str, Callable[[], Any]] = {
    "a context": lambda: ctx,
    "a context that declares nothing": lambda: anything,
    "its inner map": lambda: ctx._local__impl.dicts,
    "a scope": lambda: Scope.current(ctx),
    "a scope with values that it has yet to assign": lambda: ctx.scope(token=Secret()),
    "vars() of a context": lambda: vars(ctx),
    "a local": plain_local,
    "the middleware": lambda: ContextMiddleware(in_a_list, ctx, lambda environ: {"token": Secret()}),
    "a field without a default": lambda: vars(SecretCtx)["token"],
    "a field with a default": lambda: vars(SecretCtx)["user"],
    "a per_request": lambda: vars(SecretCtx)["made"],
    "the class": lambda: SecretCtx,
    "a streamed body": lambda: body_of(in_a_stream),
    "a sized body": lambda: body_of(in_a_sized_body),
    "a file's end": lambda: body_of(in_a_file).close,
}


@pytest.mark.parametrize("thing", THINGS)
def test_no_text_shows_a_value_of(thing: str) -> None:
    with filled():
        assert MARKER not in repr(texts(THINGS[thing]()))


# Copies and pickles

DUPLICATES: dict[str, Callable[[Any], Any]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{f"pickle protocol {p}": functools.partial(pickle.dumps, protocol=p) for p in range(pickle.HIGHEST_PROTOCOL + 1)},
}
ONCE_ONLY = [
    "a context", "a context that declares nothing", "a scope", "a scope with values that it has yet to assign",
    "vars() of a context", "a local", "a streamed body", "a sized body", "a file's end",
]  # fmt: skip


@pytest.mark.parametrize("duplicate", DUPLICATES)
@pytest.mark.parametrize("thing", ONCE_ONLY)
def test_what_belongs_to_a_request_can_be_neither_copied_nor_pickled_and_the_refusal_shows_no_value(
    thing: str, duplicate: str
) -> None:
    with filled():
        with pytest.raises(TypeError, match="can't be copied or pickled") as caught:
            DUPLICATES[duplicate](THINGS[thing]())
        assert MARKER not in message(caught.value)
        assert shown(caught.value, as_repr) + shown(caught.value, opened) == []


# The log


def drop(app: Any) -> None:
    body = begun(app)[1]
    iter(body)
    del body
    gc.collect()


LOGGED: dict[str, Callable[[], object]] = {
    "a dropped stream": lambda: drop(in_a_stream),
    "a dropped file": lambda: drop(in_a_file),
    "a dropped body whose close() fails": lambda: drop(unclosable),
    "a dropped body whose teardown fails": lambda: drop(failing_teardown(in_a_stream)),
    "a failed teardown": lambda: serve(failing_teardown(in_a_list)),
    "a failed teardown after a stream": lambda: serve(failing_teardown(in_a_stream)),
}


@pytest.mark.parametrize("case", LOGGED)
def test_the_log_shows_no_value_after(case: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "tlctx"), contextlib.suppress(Boom):
        LOGGED[case]()
    records = [record for record in caplog.records if record.name == "tlctx"]
    assert records
    for record in records:
        assert MARKER not in logging.Formatter().format(record) + repr(vars(record))
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            assert MARKER not in message(error)
            assert shown(error, as_repr) + shown(error, opened) == []
