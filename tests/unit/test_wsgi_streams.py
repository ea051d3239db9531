"""Streamed bodies: the scope is bound around each step, on whatever thread, and to nothing in between."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from support.helpers import in_thread
from support.requests import Request, Sized, answer, nothing_is_current, stream

from tlctx import OutsideRequestError, ctx

pytestmark = pytest.mark.usefixtures("nothing_is_left")


def test_a_streams_scope_is_bound_around_each_step_and_to_nothing_in_between() -> None:
    request = Request(stream(b"a", b"b"))
    body = request()
    steps = iter(body)
    for chunk in (b"a", b"b"):
        assert nothing_is_current()
        assert next(steps) == chunk
    assert nothing_is_current()
    with pytest.raises(StopIteration):
        next(steps)
    assert request.ended == []
    body.close()
    assert request.ended == [(None, "ann")]


def test_streams_taken_in_turn_on_one_thread_each_see_their_own() -> None:
    def app(environ: Any, start_response: Any) -> Any:
        ctx.user = environ["user"]

        def body() -> Iterator[bytes]:
            for number in range(3):
                yield ctx.user.encode()
                ctx.user = f"{environ['user']}{number}"

        return body()

    bodies = [Request(app, user=user)() for user in ("ann", "bob", "eve")]
    taken = list(zip(*bodies, strict=True))
    assert taken == [(b"ann", b"bob", b"eve"), (b"ann0", b"bob0", b"eve0"), (b"ann1", b"bob1", b"eve1")]
    for body in reversed(bodies):
        body.close()


def test_a_stream_goes_on_and_is_closed_on_another_thread() -> None:
    request = Request(stream(b"a", b"b"))
    body = request()
    assert next(iter(body)) == b"a"
    assert in_thread(lambda: next(body)) == b"b"
    in_thread(body.close)
    assert request.ended == [(None, "ann")]


def test_a_stream_that_is_used_after_its_end_behaves_as_without_the_middleware() -> None:
    body = Request(stream(b"a", b"b"))()
    steps = iter(body)
    next(steps)
    body.close()
    assert list(steps) == []
    body.close()


def test_a_body_that_reads_the_context_after_its_end_gets_an_error_not_somebody_elses_values() -> None:
    class Body:
        def __iter__(self) -> Iterator[bytes]:
            return self

        def __next__(self) -> bytes:
            return str(ctx.user).encode()

    def app(environ: Any, start_response: Any) -> Any:
        ctx.user = "ann"
        return Body()

    body = Request(app)()
    assert next(body) == b"ann"
    body.close()
    with pytest.raises(OutsideRequestError):
        next(body)


def test_a_length_is_there_exactly_when_the_body_has_one() -> None:
    def app(environ: Any, start_response: Any) -> Any:
        ctx.user = "ann"
        return Sized(b"a", b"b")

    body = Request(app)()
    assert len(body) == 2
    assert nothing_is_current()
    assert (list(body), list(body)) == ([b"a", b"b"], [b"a", b"b"])
    body.close()
    body = Request(stream(b"a"))()
    assert not hasattr(body, "__len__")
    body.close()


def test_a_length_that_is_not_known_is_no_failure() -> None:
    class Unknown(Sized):
        def __len__(self) -> int:
            raise TypeError("not known")

    def app(environ: Any, start_response: Any) -> Any:
        ctx.user = "ann"
        return Unknown(b"a")

    request = Request(app)
    body = request()
    with pytest.raises(TypeError, match="not known"):
        len(body)
    assert nothing_is_current()
    body.close()
    assert request.ended == [(None, "ann")]


def test_an_empty_stream_and_one_never_touched_end_too() -> None:
    for take in (list, lambda body: body):
        request = Request(stream())
        take(request())
        request.body.close()
        assert request.ended == [(None, "ann")]


@pytest.mark.parametrize("kind", [list, tuple, bytes, str])
def test_a_list_whose_class_has_code_of_its_own_is_a_stream(kind: Any) -> None:
    class WithCode(kind):  # type: ignore[misc]
        def __iter__(self) -> Iterator[bytes]:
            yield ctx.user.encode()

    def app(environ: Any, start_response: Any) -> Any:
        ctx.user = "ann"
        return WithCode()

    request = Request(app)
    body = request()
    assert request.ended == []
    assert list(body) == [b"ann"]
    body.close()
    assert request.ended == [(None, "ann")]
    without_teardown = answer(app)
    assert list(without_teardown) == [b"ann"]
    without_teardown.close()
