"""Django under WSGI: its async views, and what they call, share the scope of their request."""

from __future__ import annotations

import asyncio
import contextvars
import json
import re
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from support.async_ways import SHARED, WAYS, called, share
from support.contexts import seen
from support.flask_app import WorkCtx
from support.helpers import PATIENCE, Boom
from support.threads import run_at_once
from werkzeug.test import Client

from tlctx import ContextMiddleware, OutsideRequestError, RequestEndedError, Scope

try:
    from asgiref.sync import async_to_sync
    from django.conf import settings
    from django.core.asgi import get_asgi_application
    from django.core.wsgi import get_wsgi_application
    from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
    from django.test.utils import override_settings
    from django.urls import path

    from tlctx.django import AsyncViewMiddleware
except ImportError:
    pytest.skip("needs the package django", allow_module_level=True)

if not settings.configured:
    settings.configure(ALLOWED_HOSTS=["*"], LOGGING_CONFIG=None, SECRET_KEY="of a test")

MIDDLEWARE = "tlctx.django.AsyncViewMiddleware"

pytestmark = pytest.mark.usefixtures("no_scope_is_left")


def answer_of(application: Any) -> str:
    with Client(application).get("/") as response:
        return response.get_data(as_text=True)


@pytest.fixture
def get(ctx: WorkCtx) -> Iterator[Callable[..., Any]]:
    """Answers a request of ann to a view, of a Django application whose settings name the given middleware.

    With `at_once`, two such requests at the same time.
    """

    def get(
        view: Callable[..., Any], *middleware: str, contexts: tuple[Any, ...] = (ctx,), at_once: bool = False
    ) -> Any:
        with override_settings(ROOT_URLCONF=(path("", view),), MIDDLEWARE=middleware, DEBUG_PROPAGATE_EXCEPTIONS=True):
            application: Any = get_wsgi_application()
            for context in contexts:
                application = ContextMiddleware(application, context, lambda environ: {"user": "ann"})
            if not at_once:
                return answer_of(application)
            answers: list[str] = []
            run_at_once([lambda: answers.append(answer_of(application))] * 2)
            return answers

    yield get
    assert seen(ctx) == "nothing"


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_what_an_async_view_calls_shares_its_scope(
    way: Callable[[Callable[[], Any]], Awaitable[Any]], get: Callable[..., Any], ctx: WorkCtx, log: list[Any]
) -> None:
    async def view(request: Any) -> Any:
        return JsonResponse(await share(ctx, way), safe=False)

    assert json.loads(get(view, MIDDLEWARE)) == SHARED
    assert log == ["done for ann"]


def test_what_a_sync_view_calls_by_async_to_sync_shares_its_scope(get: Callable[..., Any], ctx: WorkCtx) -> None:
    def view(request: Any) -> Any:
        return JsonResponse(async_to_sync(share)(ctx, called), safe=False)

    assert json.loads(get(view, MIDDLEWARE)) == SHARED


@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume asynchronous iterators:Warning")
def test_what_is_streamed_by_an_async_generator_sees_the_scope_too(
    get: Callable[..., Any], ctx: WorkCtx, log: list[Any]
) -> None:
    async def rows() -> AsyncIterator[str]:
        yield ctx.user
        await asyncio.sleep(0)
        yield f", {ctx.work}, {await asyncio.to_thread(lambda: ctx.user)}"
        log.append("streamed")

    async def view(request: Any) -> Any:
        return StreamingHttpResponse(rows())

    assert get(view, MIDDLEWARE) == "ann, work of ann, ann"
    assert log == ["streamed", "done for ann"]


def test_an_async_view_shares_the_scope_of_each_context(get: Callable[..., Any], ctx: WorkCtx) -> None:
    other = WorkCtx([])

    async def view(request: Any) -> Any:
        other.user = "bob"
        return HttpResponse(await asyncio.to_thread(lambda: f"{ctx.user} and {other.user}"))

    assert get(view, MIDDLEWARE, contexts=(ctx, other)) == "ann and bob"
    assert seen(other) == "nothing"


def test_async_views_that_run_at_once_each_see_their_own_scope(get: Callable[..., Any], ctx: WorkCtx) -> None:
    together, found = threading.Barrier(2), []

    def pair() -> tuple[Any, str]:
        together.wait(PATIENCE)
        return Scope.current(ctx), ctx.work

    async def view(request: Any) -> Any:
        mine = Scope.current(ctx), ctx.work
        for _ in range(3):
            found.append(await asyncio.to_thread(pair) == mine)
            found.append((Scope.current(ctx), ctx.work) == mine)
        return HttpResponse(str(mine[0]))

    answers = get(view, MIDDLEWARE, at_once=True)
    assert len(set(answers)) == 2
    assert found == [True] * 12


def test_an_async_views_exception_is_that_of_the_request(get: Callable[..., Any], ctx: WorkCtx, log: list[Any]) -> None:
    async def view(request: Any) -> Any:
        assert ctx.work
        raise Boom

    with pytest.raises(Boom):
        get(view, MIDDLEWARE)
    assert log == ["Boom"]


def test_code_of_an_async_view_that_outlives_the_request_is_told_which_one_has_ended(
    get: Callable[..., Any], ctx: WorkCtx
) -> None:
    jobs: list[Future[Any]] = []
    go = threading.Event()

    def late() -> str:
        assert go.wait(PATIENCE)
        return ctx.user

    with ThreadPoolExecutor(1) as pool:

        async def view(request: Any) -> Any:
            jobs.append(pool.submit(contextvars.copy_context().run, late))
            return HttpResponse(str(Scope.current(ctx)))

        named = get(view, MIDDLEWARE)
        go.set()
        with pytest.raises(RequestEndedError, match=rf"after {re.escape(named)} has ended"):
            jobs[0].result(PATIENCE)


@pytest.mark.parametrize("by", ["async view", "async_to_sync"])
def test_without_the_middleware_the_error_names_it(by: str, get: Callable[..., Any], ctx: WorkCtx) -> None:
    async def view(request: Any) -> Any:
        return HttpResponse(ctx.user)

    with pytest.raises(OutsideRequestError, match=r'Django runs an async view.*"tlctx\.django\.AsyncViewMiddleware"'):
        get(view if by == "async view" else async_to_sync(view))


def test_under_asgi_the_middleware_adds_nothing_and_the_error_names_the_one_of_asgi(ctx: WorkCtx) -> None:
    async def view(request: Any) -> Any:
        with pytest.raises(OutsideRequestError) as caught:
            _ = ctx.user
        return HttpResponse(str(caught.value))

    assert AsyncViewMiddleware(view) is view
    received = iter([{"type": "http.request", "body": b""}])
    sent: list[Any] = []

    async def receive() -> Any:
        return next(received, None) or await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b""}
    with override_settings(ROOT_URLCONF=(path("", view),), MIDDLEWARE=(MIDDLEWARE,)):
        asyncio.run(get_asgi_application()(scope, receive, send))
    assert b"`tlctx.asgi.ContextMiddleware" in sent[1]["body"]
