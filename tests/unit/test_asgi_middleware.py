"""tlctx.asgi.ContextMiddleware: each request has a scope of its own, from the application's call to its return."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from typing import Any

import pytest
from support.asgi import Exchange, Recorder, answer, ctx, http_scope, seen, serve, start, websocket_scope, within
from support.contexts import UserCtx
from support.helpers import Boom, in_thread, raise_boom

from tlctx import OutsideRequestError, RequestContext, RequestEndedError, Scope
from tlctx.asgi import ContextMiddleware
from tlctx.lowlevel import Observer, add_observer, close_early, open_scopes, remove_observer

pytestmark = pytest.mark.usefixtures("nothing_is_left")


async def hello(scope: Any, receive: Any, send: Any) -> None:
    ctx.user = "ann"
    await answer(send, b"hello ", ctx.user.encode())


def test_the_client_gets_what_the_application_sends() -> None:
    bare, within_ours = serve(hello_without_context), serve(within(hello))
    assert within_ours.sent == bare.sent
    assert within_ours.body == b"hello ann"


async def hello_without_context(scope: Any, receive: Any, send: Any) -> None:
    await answer(send, b"hello ", b"ann")


def test_each_of_thousands_of_requests_that_take_turns_sees_its_own_values() -> None:
    wrong: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        name = scope["path"]
        if seen() != "nothing":
            wrong.append((name, seen()))
        ctx.user = name
        await start(send)
        for _ in range(3):
            await asyncio.sleep(0)
            if ctx.user != name or await child() != name:
                wrong.append((name, ctx.user))
            await send({"type": "http.response.body", "body": name.encode(), "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        await asyncio.sleep(0)
        if ctx.user != name:
            wrong.append((name, "after the answer", ctx.user))

    async def child() -> str:
        return await asyncio.create_task(read())

    async def read() -> str:
        await asyncio.sleep(0)
        return ctx.user  # type: ignore[no-any-return]

    async def main() -> list[Exchange]:
        exchanges = [Exchange(within(app), http_scope(f"/{number}")) for number in range(2000)]

        async def run(exchange: Exchange) -> None:
            await exchange

        await asyncio.gather(*map(run, exchanges))
        return exchanges

    for exchange in asyncio.run(main()):
        assert exchange.body == exchange.scope["path"].encode() * 3
    assert wrong == []


def test_the_scope_is_named_after_the_request_and_has_its_asgi_scope_as_its_source() -> None:
    found: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        current = Scope.current(ctx)
        assert current is not None
        found.append((current.label, current.source is scope))
        with pytest.raises(AttributeError, match=r"in request #\d+ \("):
            _ = ctx.missing

    serve(within(app), http_scope("/notes"))
    serve(within(app), websocket_scope("/chat"))
    assert found == [("GET /notes", True), ("websocket /chat", True)]


def test_the_asgi_scope_is_the_servers_own_and_has_one_key_more_without_any_value() -> None:
    scope = http_scope()
    before = dict(scope)

    async def app(inner: Any, receive: Any, send: Any) -> None:
        assert inner is scope
        ctx.user = "s3cret value"

    serve(within(app), scope)
    (key,) = set(scope) - set(before)
    assert key == "tlctx.scopes"
    assert {name: value for name, value in scope.items() if name != key} == before
    assert "s3cret value" not in repr(scope)
    assert "GET /path" in repr(scope[key])


@pytest.mark.parametrize("kind", ["lifespan", "something.new"])
def test_what_is_no_request_passes_through_without_a_scope(kind: str) -> None:
    scope = {"type": kind}
    seen_there: list[str] = []

    async def app(inner: Any, receive: Any, send: Any) -> None:
        assert (inner, receive, send) == (scope, exchange.receive, exchange.send)
        seen_there.append(seen())
        with pytest.raises(OutsideRequestError):
            ctx.user = "ann"

    exchange = Exchange(within(app), scope)

    async def main() -> None:
        await exchange

    asyncio.run(main())
    assert seen_there == ["nothing"]
    assert scope == {"type": kind}


def test_what_runs_outside_of_the_request_is_refused() -> None:
    async def main() -> None:
        await Exchange(within(hello))
        with pytest.raises(OutsideRequestError, match="no request is running"):
            _ = ctx.user

    asyncio.run(main())


def test_a_task_that_outlives_the_request_is_told_which_one_ended() -> None:
    async def main() -> None:
        go, tasks = asyncio.Event(), []

        async def late() -> None:
            await go.wait()
            _ = ctx.user

        async def app(scope: Any, receive: Any, send: Any) -> None:
            ctx.user = "ann"
            tasks.append(asyncio.create_task(late()))
            await answer(send)

        await Exchange(within(app), http_scope("/notes"))
        go.set()
        with pytest.raises(RequestEndedError, match=r"request #\d+ \(GET /notes\) has ended"):
            await tasks[0]

    asyncio.run(main())


def test_a_thread_that_the_request_hands_its_context_sees_it_and_another_job_of_the_thread_does_not() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        ctx.user = "ann"

        def endpoint() -> str:
            ctx.from_thread = "written there"
            return seen()

        assert await asyncio.to_thread(endpoint) == "ann"
        assert ctx.from_thread == "written there"
        assert await asyncio.get_running_loop().run_in_executor(None, seen) == "nothing"

    serve(within(app))


def test_the_first_values_come_from_a_function_of_the_asgi_scope() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, ctx.user.encode())

    def first_values(scope: Any) -> Any:
        assert Scope.current(ctx) is scope["tlctx.scopes"][0]
        return {"user": scope["path"]}

    assert serve(within(app, first_values), http_scope("/ann")).body == b"/ann"


def test_the_first_values_may_be_awaited() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, ctx.user.encode())

    async def first_values(scope: Any) -> Any:
        await asyncio.sleep(0)
        ctx.user = "overwritten"
        return {"user": scope["path"]}

    assert serve(within(app, first_values), http_scope("/ann")).body == b"/ann"


@pytest.mark.parametrize("values", [None, ["user"], {1: "ann"}])
def test_first_values_that_are_no_mapping_from_names_are_refused(values: Any) -> None:
    async def later(scope: Any) -> Any:
        return values

    for first_values in (lambda scope: values, later):
        with pytest.raises(TypeError, match="the first values must be a mapping from names"):
            serve(within(hello, first_values))


def test_first_values_that_fail_end_the_scope_and_the_application_is_not_called() -> None:
    ended: list[Any] = []

    def first_values(scope: Any) -> Any:
        ctx.user = "ann"
        ctx.enter_context(Recorder(ended))
        raise Boom

    async def never(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError

    with pytest.raises(Boom):
        serve(within(never, first_values))
    assert ended == [(Boom, "ann")]


def test_the_contexts_own_init_runs_in_each_request() -> None:
    class Ctx(RequestContext):
        user: str

        def __init__(self, user: str) -> None:
            self.user = user

    context = Ctx("ann")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, context.user.encode())
        context.user = "bob"

    middleware = ContextMiddleware(app, context)
    assert [serve(middleware).body, serve(middleware).body] == [b"ann", b"ann"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((None, ctx), "the app must be an ASGI application, a callable, not NoneType"),
        ((hello, None), "the context must be a RequestContext, not NoneType"),
        ((hello, UserCtx), "the context must be a RequestContext, not .*: give an instance, not the class"),
        ((hello, ctx, {}), "initialize must be a function of the ASGI scope, not dict"),
    ],
)
def test_wrong_arguments_are_refused(arguments: Any, text: str) -> None:
    with pytest.raises(TypeError, match=text):
        ContextMiddleware(*arguments)


def test_code_of_the_server_does_not_see_the_scope_where_it_may_start_the_next_request() -> None:
    """uvicorn makes the task of a pipelined request inside of `send`, and resumes reading inside of `receive`."""
    seen_by_server = []

    async def next_request() -> None:
        seen_by_server.append(seen())

    async def main() -> None:
        class Server(Exchange):
            async def receive(self) -> Any:
                await asyncio.create_task(next_request())
                return await super().receive()

            async def send(self, message: Any) -> None:
                if not message.get("more_body") and message["type"] != "http.response.start":
                    await asyncio.create_task(next_request())
                await super().send(message)

        async def app(scope: Any, receive: Any, send: Any) -> None:
            ctx.user = "ann"
            await receive()
            assert ctx.user == "ann"
            await answer(send, b"a", b"b")
            assert ctx.user == "ann"  # as a background task does

        await Server(within(app))

    asyncio.run(main())
    assert seen_by_server == ["nothing", "nothing"]


def test_a_message_sent_for_another_request_leaves_the_scope_as_it_is() -> None:
    """As a chat does, which tells all others what one of them says."""
    others: list[Any] = []

    async def main() -> None:
        told, done = asyncio.Event(), asyncio.Event()

        async def listener(scope: Any, receive: Any, send: Any) -> None:
            ctx.user = "bob"
            others.append(send)
            told.set()
            await done.wait()
            assert ctx.user == "bob"

        async def teller(scope: Any, receive: Any, send: Any) -> None:
            ctx.user = "ann"
            await others[0]({"type": "websocket.send", "text": "hello"})
            assert ctx.user == "ann"

        async def run(exchange: Exchange) -> None:
            await exchange

        listening = asyncio.create_task(run(Exchange(within(listener), websocket_scope())))
        await told.wait()
        await Exchange(within(teller), websocket_scope())
        await others[0]({"type": "websocket.send", "text": "from outside"})
        assert seen() == "nothing"
        done.set()
        await listening

    asyncio.run(main())


def test_what_is_attached_in_the_context_of_the_server_already_stays_there_and_is_not_seen() -> None:
    async def main() -> None:
        with ctx.scope(user="outer"):
            context = contextvars.copy_context()
            found: list[str] = []

            async def app(scope: Any, receive: Any, send: Any) -> None:
                found.append(seen())
                ctx.user = "ann"
                await answer(send)

            async def run() -> None:
                await Exchange(within(app))
                found.append(seen())

            await asyncio.create_task(run(), context=context)
            assert found == ["nothing", "outer"]
            assert ctx.user == "outer"

    asyncio.run(main())


def test_a_request_is_refused_where_its_event_loop_runs_inside_a_scope_of_a_thread() -> None:
    with ctx.scope(user="outer"):
        with pytest.raises(RuntimeError, match="can't be opened in a coroutine while its event loop runs inside"):
            serve(within(hello))
        assert ctx.user == "outer"
    assert open_scopes() == []


def test_observers_are_told_of_a_request() -> None:
    events: list[Any] = []

    class Watching(Observer):
        def begin(self, scope: Scope) -> None:
            events.append(("begin", scope.label, list(scope.namespace), scope.thread != 0))

        def end(self, scope: Scope, error: BaseException | None) -> None:
            events.append(("end", scope.label, type(error)))

    async def failing(scope: Any, receive: Any, send: Any) -> None:
        ctx.user = "ann"
        raise Boom

    add_observer(observer := Watching())
    try:
        serve(within(hello))
        with pytest.raises(Boom):
            serve(within(failing))
    finally:
        remove_observer(observer)
    begin: Any = ("begin", "GET /path", [], True)
    assert events == [begin, ("end", "GET /path", type(None)), begin, ("end", "GET /path", Boom)]


# Applications inside applications


def test_applied_twice_the_inner_one_joins_the_scope_of_the_outer() -> None:
    ended: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert ctx.user == "outer"
        assert len(scope["tlctx.scopes"]) == 1
        ctx.enter_context(Recorder(ended))
        ctx.user = "inner"
        await answer(send)

    async def outer(scope: Any, receive: Any, send: Any) -> None:
        ctx.user = "outer"
        await within(app, never)(scope, receive, send)
        assert (ctx.user, ended) == ("inner", [])

    def never(scope: Any) -> Any:
        raise AssertionError

    serve(within(outer))
    assert ended == [(None, "inner")]


@pytest.mark.parametrize(
    "changes",
    [{}, {"root_path": "/api", "path": "/notes"}, {"root_path": "/api"}, {"headers": [(b"x-added", b"1")]}],
    ids=["copied", "mounted, the rest of the path", "mounted, the whole path", "with a header more"],
)
def test_an_app_that_is_mounted_with_a_copy_of_the_asgi_scope_joins_too(changes: dict[str, Any]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, seen().encode())

    async def outer(scope: Any, receive: Any, send: Any) -> None:
        ctx.user = "outer"
        await within(app)({**scope, **changes}, receive, send)

    assert serve(within(outer), http_scope("/api/notes")).body == b"outer"


@pytest.mark.parametrize(
    "changes",
    [{"path": "/other"}, {"method": "POST"}, {"root_path": "/more"}, {"type": "websocket"}],
    ids=lambda changes: next(iter(changes)),
)
def test_a_request_made_with_a_copy_of_the_asgi_scope_gets_a_scope_of_its_own(changes: dict[str, Any]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert seen() == "nothing"
        assert len(scope["tlctx.scopes"]) == 2
        ctx.user = "inner"

    async def outer(scope: Any, receive: Any, send: Any) -> None:
        ctx.user = "outer"
        await within(app)({**scope, **changes}, receive, send)
        assert ctx.user == "outer"
        await Exchange(within(hello))  # and one of a client inside the process
        assert ctx.user == "outer"
        assert len(scope["tlctx.scopes"]) == 1

    serve(within(outer), http_scope("/api/notes"))


def test_two_contexts_of_one_request_have_a_scope_each() -> None:
    other = UserCtx()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert (ctx.user, other.user) == ("of the first", "of the other")
        assert [each.context for each in scope["tlctx.scopes"]] == [ctx, other]
        close_early(ctx)
        await start(send)
        assert seen() == "nothing"
        assert other.user == "of the other"

    serve(within(within(app, lambda scope: {"user": "of the other"}, other), lambda scope: {"user": "of the first"}))


def test_what_stands_between_the_middlewares_of_two_contexts_sees_that_of_the_outer_one_as_it_sends() -> None:
    other = UserCtx()
    found: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await answer(send, b"a", b"b")

    async def between(scope: Any, receive: Any, send: Any) -> None:
        async def send_and_look(message: Any) -> None:
            found.append((other.user, seen()))
            await send(message)

        await within(app, lambda scope: {"user": "inner"})(scope, receive, send_and_look)

    serve(within(between, lambda scope: {"user": "outer"}, other))
    assert [user for user, _ in found] == ["outer"] * 3
    assert found[-1] == ("outer", "nothing")


def test_a_request_made_in_a_scope_of_its_own_does_not_join_that() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert seen() == "nothing"

    async def outer(scope: Any, receive: Any, send: Any) -> None:
        with ctx.scope(user="by hand"):
            await within(app)(scope, receive, send)
            assert ctx.user == "by hand"

    serve(within(outer))


# The end


def test_the_scope_ends_when_the_application_returns_and_background_tasks_are_part_of_that() -> None:
    ended: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        ctx.enter_context(Recorder(ended))
        ctx.user = "ann"
        await answer(send, b"done")
        await asyncio.sleep(0)  # as a background task does
        assert (ctx.user, ended) == ("ann", [])

    serve(within(app))
    assert ended == [(None, "ann")]


@pytest.mark.parametrize("error", [Boom, asyncio.CancelledError, GeneratorExit, SystemExit])
@pytest.mark.parametrize("sends", [0, 1, 2])
def test_what_the_application_raises_goes_on_and_the_teardown_learns_of_it(
    error: type[BaseException], sends: int
) -> None:
    ended: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        ctx.enter_context(Recorder(ended))
        ctx.user = "ann"
        if sends:
            await start(send)
        if sends == 2:
            await send({"type": "http.response.body", "body": b"part", "more_body": True})
        raise error

    async def main() -> None:
        exchange = Exchange(within(app))
        coroutine = app_of(exchange)
        with pytest.raises(error):
            while True:
                coroutine.send(None)
        assert len(exchange.sent) == sends
        assert seen() == "nothing"

    def app_of(exchange: Exchange) -> Any:
        return exchange.app(exchange.scope, exchange.receive, exchange.send)

    asyncio.run(main())
    assert ended == [(error, "ann")]


def test_a_request_that_is_cancelled_ends() -> None:
    ended: list[Any] = []

    async def main() -> None:
        reached = asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            ctx.enter_context(Recorder(ended))
            ctx.user = "ann"
            reached.set()
            await asyncio.Event().wait()

        async def run() -> None:
            await Exchange(within(app))

        task = asyncio.create_task(run())
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert ended == [(asyncio.CancelledError, "ann")]
    assert open_scopes() == []


def test_a_request_whose_coroutine_is_dropped_ends() -> None:
    ended: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        ctx.enter_context(Recorder(ended))
        await asyncio.sleep(0)

    async def main() -> None:
        exchange = Exchange(within(app))
        coroutine = exchange.app(exchange.scope, exchange.receive, exchange.send)
        coroutine.send(None)
        coroutine.close()
        assert seen() == "nothing"

    asyncio.run(main())
    assert ended == [(GeneratorExit, None)]


def test_a_teardown_that_fails_after_the_answer_is_reported_and_goes_to_the_server(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        ctx.callback(raise_boom)
        await answer(send, b"done")

    exchange = Exchange(within(app))

    async def main() -> None:
        await exchange

    with pytest.raises(Boom):
        asyncio.run(main())
    assert exchange.body == b"done"
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("tlctx", logging.ERROR)
    assert "(GET /path): its teardown failed" in record.message


def test_what_the_application_raised_goes_on_also_where_the_teardown_fails(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        ctx.callback(raise_boom)
        raise ValueError("of the application")

    with pytest.raises(ValueError, match="of the application"):
        serve(within(app))
    assert ["its teardown failed" in record.message for record in caplog.records] == [True]


def test_close_early_ends_the_scope_before_the_answer_begins() -> None:
    log: list[Any] = []

    class Server(Exchange):
        async def send(self, message: Any) -> None:
            log.append(message["type"])

    async def app(scope: Any, receive: Any, send: Any) -> None:
        ctx.enter_context(Recorder(log))
        ctx.user = "ann"
        close_early(ctx)
        assert ctx.user == "ann"
        await start(send)
        with pytest.raises(RequestEndedError, match="GET /path"):
            _ = ctx.user
        await send({"type": "http.response.body", "body": b"late"})

    async def main() -> None:
        await Server(within(app))
        assert seen() == "nothing"

    asyncio.run(main())
    assert log == [(None, "ann"), "http.response.start", "http.response.body"]


def test_a_teardown_that_fails_before_the_answer_leaves_it_to_an_error_page(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        ctx.callback(raise_boom)
        close_early(ctx)
        try:
            await answer(send, b"saved")
        except Boom:
            await start(send, 500)
            await send({"type": "http.response.body", "body": b"not saved"})

    exchange = serve(within(app))
    assert (exchange.status, exchange.body) == (500, b"not saved")
    assert ["its teardown failed" in record.message for record in caplog.records] == [True]


def test_a_teardown_that_fails_before_the_answer_reaches_the_server_before_anything_was_sent() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        ctx.callback(raise_boom)
        close_early(ctx)
        await answer(send, b"saved")

    exchange = Exchange(within(app))

    async def main() -> None:
        await exchange

    with pytest.raises(Boom):
        asyncio.run(main())
    assert exchange.sent == []


def test_close_early_of_a_request_whose_answer_has_begun_changes_nothing() -> None:
    ended: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        ctx.enter_context(Recorder(ended))
        await start(send)
        close_early(ctx)
        await send({"type": "http.response.body", "body": b"rest"})
        assert ended == []

    serve(within(app))
    assert ended == [(None, None)]


def test_scopes_of_coroutines_of_one_request_are_closed_by_hand_and_the_requests_own_stays() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        ctx.user = "ann"
        with ctx.scope(user="inner"):
            await asyncio.sleep(0)
            await answer(send, seen().encode())
            assert ctx.user == "inner"
        assert ctx.user == "ann"

    assert serve(within(app)).body == b"inner"


def test_threads_serve_requests_of_event_loops_of_their_own() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert seen() == "nothing"
        ctx.user = scope["path"]
        await asyncio.sleep(0)
        await answer(send, in_thread(seen).encode(), ctx.user.encode())

    assert in_thread(lambda: serve(within(app), http_scope("/1")).body) == b"nothing/1"
    assert serve(within(app), http_scope("/2")).body == b"nothing/2"
