"""Requests that end where no stack is left, as the innermost of an endless redirect does: their teardown still runs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.helpers import in_thread

from tlctx import ContextMiddleware, RequestContext, Scope, per_request
from tlctx._core.implementation import peek_dict

LIMITS = range(200, 212)
"""Limits of recursion. The stack ends at another line of tlctx under each."""


class Ctx(RequestContext):
    """Counts what it opened and closed. Closing takes some stack of its own."""

    @per_request
    def connection(self) -> Iterator[int]:
        number = len(opened)
        opened.append(number)
        try:
            yield number
        except RecursionError:
            roll_back(10)
            closed.append(number)
            raise
        else:
            committed.append(number)


def roll_back(calls: int) -> None:
    if calls:
        roll_back(calls - 1)


ctx = Ctx()
opened: list[int] = []
closed: list[int] = []
committed: list[int] = []
called_back: list[int] = []
scopes: list[Scope] = []


@pytest.fixture(autouse=True)
def _afresh() -> Iterator[None]:
    yield
    for record in (opened, closed, committed, called_back, scopes):
        record.clear()


def under_limit(limit: int, overflow: Callable[[], object]) -> None:
    """Run `overflow`, on a new thread, with a stack of `limit` calls, until it raises RecursionError."""

    def run() -> None:
        before = sys.getrecursionlimit()
        sys.setrecursionlimit(limit)
        try:
            overflow()
        except RecursionError:
            pass
        finally:
            sys.setrecursionlimit(before)
        assert peek_dict(ctx) is None

    in_thread(run)


def open_one_more() -> None:
    number = len(scopes)
    scopes.append(Scope.current(ctx))  # type: ignore[arg-type]
    ctx.callback(called_back.append, number)
    ctx.connection  # noqa: B018  # makes it


def check_all_closed() -> None:
    assert opened
    assert sorted(closed) == opened
    assert committed == []
    assert sorted(called_back) == list(range(len(called_back)))  # each once
    assert len(called_back) >= len(scopes) - 1  # the last may have overflowed before it added its own
    assert [scope for scope in scopes if not scope.ended] == []


@pytest.mark.parametrize("limit", LIMITS)
def test_every_request_of_an_endless_redirect_is_torn_down(limit: int) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Any:
        open_one_more()
        return redirected({"PATH_INFO": f"/{len(scopes)}", "wsgi.input": object()}, start_response)

    redirected = ContextMiddleware(app, ctx)
    under_limit(limit, lambda: redirected({}, None))  # type: ignore[arg-type]
    check_all_closed()


@pytest.mark.parametrize("limit", LIMITS)
def test_every_scope_of_an_endless_recursion_is_torn_down(limit: int) -> None:
    def recurse() -> None:
        with ctx.scope():
            open_one_more()
            recurse()

    under_limit(limit, recurse)
    check_all_closed()


@pytest.mark.parametrize("limit", LIMITS)
def test_every_body_that_iterates_one_more_is_torn_down(limit: int) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        open_one_more()
        yield from middleware({"wsgi.input": object()}, start_response)

    middleware = ContextMiddleware(app, ctx)
    under_limit(limit, lambda: [*middleware({}, None)])  # type: ignore[arg-type]
    check_all_closed()
