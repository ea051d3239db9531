"""The WSGI middleware of headers: what differs with where it is mounted, and with how many contexts there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.headers import HeadersCtx, assigner_removed_after, get_answer, seen_by
from support.helpers import start_nothing
from werkzeug.test import create_environ

from tlctx import ContextMiddleware, OutsideRequestError
from tlctx.headers import Headers
from tlctx.lowlevel import open_scopes

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _the_assigner_is_removed() -> Iterator[None]:
    with assigner_removed_after():
        yield


@pytest.fixture
def ctx() -> Any:
    return HeadersCtx()


def test_mounted_outside_it_is_there_for_initialize(ctx: Any) -> None:
    users: list[str] = []

    def app(environ: Any, start_response: Any) -> Any:
        users.append(ctx.user)
        start_response("200 OK", [])
        return []

    served = ContextMiddleware(app, ctx, lambda environ: {"user": f"of {ctx.request_id}"})
    get_answer(Headers(ctx).wsgi(served), "abc")
    assert users == ["of abc"]


def test_two_contexts_share_the_id_of_a_request() -> None:
    first, second = HeadersCtx(), HeadersCtx()
    seen: list[Any] = []

    def app(environ: Any, start_response: Any) -> Any:
        seen.append((first.request_id, second.request_id, environ["tlctx.request_id"]))
        start_response("200 OK", [])
        return []

    inside = ContextMiddleware(ContextMiddleware(Headers(second).wsgi(app), second), first)
    get_answer(Headers(first).wsgi(inside))
    ((one, other, in_environ),) = seen
    assert one == other == in_environ


def test_without_a_scope_nothing_is_assigned_and_nothing_stays(ctx: Any) -> None:
    application = Headers(ctx).wsgi(lambda environ, start: [])
    application(create_environ(), start_nothing)
    with pytest.raises(OutsideRequestError):
        _ = ctx.request_id
    with ctx.scope():
        assert ctx.request_id == "-"
    assert not [scope for scope in open_scopes() if scope.context is ctx]


def test_mounted_inside_no_observer_is_added(ctx: Any) -> None:
    from tlctx._core import observers

    app, _ = seen_by(ctx)
    before = list(observers.active)
    get_answer(ContextMiddleware(Headers(ctx).wsgi(app), ctx))
    assert observers.active == before
    for _ in range(2):
        get_answer(Headers(ctx).wsgi(ContextMiddleware(app, ctx)))
    assert len(observers.active) == len(before) + 1


def test_the_middleware_has_the_app_and_the_settings(ctx: Any) -> None:
    headers, app = Headers(ctx), seen_by(ctx)[0]
    assert (headers.wsgi(app).app, headers.wsgi(app).headers) == (app, headers)
