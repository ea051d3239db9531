"""How many pieces of its body a request has given to the server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from support import asgi
from support.helpers import Boom, raising
from support.requests import answer, ctx

from tlctx import ContextMiddleware, Scope
from tlctx.lowlevel import Observer, add_observer, close_early, remove_observer

scopes: list[Any] = []


class Watch(Observer):
    def __init__(self) -> None:
        self.chunks: list[int] = []

    def end(self, scope: Scope, error: BaseException | None) -> None:
        self.chunks.append(scope.chunks)


@pytest.fixture
def watch() -> Iterator[Watch]:
    add_observer(watch := Watch())
    yield watch
    remove_observer(watch)


def note() -> Any:
    scopes.append(Scope.current(ctx))
    return scopes[-1]


def test_a_scope_begins_with_none_and_can_be_counted_up() -> None:
    scope = Scope(ctx)
    assert scope.chunks == 0
    scope.chunks += 2
    assert scope.chunks == 2


class Again:
    """A body that is iterated anew each time."""

    def __iter__(self) -> Iterator[bytes]:
        return iter([b"one", b"two"])


@pytest.mark.parametrize("make", [lambda: (b"%d" % number for number in range(2)), Again, lambda: iter([b"", b"x"])])
def test_each_chunk_that_the_server_took_counts(make: Any, watch: Watch) -> None:
    body = answer(lambda environ, start_response: note() and make())
    scope = scopes[-1]
    iterator = iter(body)
    assert scope.chunks == 0
    next(iterator)
    assert scope.chunks == 1
    next(iterator)
    assert scope.chunks == 2
    assert list(iterator) == []
    assert scope.chunks == 2
    body.close()
    assert watch.chunks == [2]


def test_a_step_that_fails_gives_no_chunk(watch: Watch) -> None:
    def stream() -> Iterator[bytes]:
        yield b"one"
        raise Boom

    body = answer(lambda environ, start_response: stream())
    with pytest.raises(Boom):
        list(body)
    assert watch.chunks == [1]


@pytest.mark.parametrize("closes", [False, True], ids=["idle", "with a teardown"])
@pytest.mark.parametrize("body", [[], [b"one", b"two"], (b"one", b"two"), b"one"], ids=repr)
def test_a_body_that_goes_to_the_server_as_it_is_is_one_chunk(body: Any, closes: bool, watch: Watch) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        if closes:
            ctx.callback(int)
        return body

    assert answer(app) is body
    assert watch.chunks == [1]


def test_so_is_an_answer_that_runs_no_code_of_the_request(watch: Watch) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        close_early(ctx)
        return iter([b"one", b"two"])

    assert list(answer(app)) == [b"one", b"two"]
    assert watch.chunks == [1]


def test_so_is_a_file(watch: Watch) -> None:
    class Wrapper:
        def __iter__(self) -> Iterator[bytes]:
            return iter([b"one", b"two"])

        def close(self) -> None: ...

    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "wsgi.file_wrapper": Wrapper}
    body: Any = ContextMiddleware(lambda environ, start_response: note() and Wrapper(), ctx)(environ, lambda *_: print)
    assert scopes[-1].chunks == 1
    body.close()
    assert watch.chunks == [1]


def test_an_app_that_fails_gives_none(watch: Watch) -> None:
    with pytest.raises(Boom):
        answer(lambda environ, start_response: raising(Boom()))
    assert watch.chunks == [0]


def test_under_asgi_each_message_with_a_part_of_the_answer_counts(watch: Watch) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asgi.answer(send, b"one", b"two", b"three")

    asgi.serve(asgi.within(app))
    assert watch.chunks == [3]


def test_so_does_what_a_web_socket_sends(watch: Watch) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "one"})
        assert note().chunks == 1
        await asyncio.gather(*[send({"type": "websocket.send", "text": "two"}) for _ in range(2)])
        await send({"type": "websocket.close"})

    asgi.serve(asgi.within(app), asgi.websocket_scope())
    assert watch.chunks == [3]
