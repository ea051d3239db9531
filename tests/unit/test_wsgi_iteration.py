"""Bodies: taken, taken again and taken on after an error, as without the middleware."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
from support.helpers import Boom
from support.requests import answer, ctx


def test_a_body_goes_on_with_the_empty_scope_that_it_left_open() -> None:
    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        ctx.user = "outer"
        with ctx.scope():
            yield repr(getattr(ctx, "user", None)).encode()
            yield repr(getattr(ctx, "user", None)).encode()
        yield repr(ctx.user).encode()

    body = answer(app)
    assert list(body) == [b"None", b"None", b"'outer'"]
    body.close()


def test_a_body_whose_iterator_is_taken_again_from_inside_a_step_after_the_end_goes_on() -> None:
    class Anew:
        def __iter__(self) -> Iterator[int]:
            if taken:
                iter(taken[0])
            yield 1
            yield 2

    taken: list[Any] = []
    body = answer(lambda environ, start_response: Anew())
    body.close()
    steps = iter(body)
    taken.append(body)
    assert next(steps) == 1
    taken.clear()
    assert list(body) == [1, 2]


def test_an_iterator_that_raised_can_go_on_as_without_the_middleware() -> None:
    class Recovers:
        def __init__(self) -> None:
            self.items = iter([1, Boom, 2])

        def __iter__(self) -> Any:
            return self

        def __next__(self) -> Any:
            item = next(self.items)
            if item is Boom:
                raise Boom
            return item

    body = answer(lambda environ, start_response: Recovers())
    assert iter(body) is body
    assert next(body) == 1
    with pytest.raises(Boom):
        next(body)
    assert list(body) == [2]
    body.close()


def test_a_body_that_is_its_own_iterable_is_a_recursion_error() -> None:
    body = answer(lambda environ, start_response: iter([b"x"]))
    body._iterable = body
    with pytest.raises(RecursionError):
        iter(body)
    body._iterable = ()
    body.close()


def test_the_iterator_of_a_body_goes_on_where_it_is_when_it_is_iterated_again() -> None:
    """werkzeug's test client takes the first block, then chains the rest; a body that begins anew came out doubled."""

    class Anew:
        def __iter__(self) -> Iterator[bytes]:
            yield ctx.user.encode()
            yield b"second"

        def close(self) -> None:
            closed.append(ctx.user)

    def app(environ: Any, start_response: Any) -> Any:
        ctx.user = "ann"
        return Anew()

    closed: list[str] = []
    body = answer(app)
    blocks = iter(body)
    assert [next(blocks), *itertools.chain(blocks)] == [b"ann", b"second"]
    del blocks
    assert closed == []
    assert list(body) == [b"ann", b"second"]
    body.close()
    assert closed == ["ann"]


def test_closing_the_iterator_of_a_body_closes_the_body() -> None:
    class Anew:
        def __iter__(self) -> Iterator[bytes]:
            yield b"x"

        def close(self) -> None:
            closed.append(getattr(ctx, "user", "over"))

    def app(environ: Any, start_response: Any) -> Any:
        ctx.user = "ann"
        return Anew()

    closed: list[str] = []
    blocks = iter(answer(app))
    blocks.close()
    assert closed == ["ann"]


def test_a_body_that_is_its_own_iterator_is_closed_once_when_a_step_raises() -> None:
    """Twisted calls no `close()` after that; a server that does has nothing to close any more."""

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        ctx.user = "ann"
        ctx.callback(lambda: log.append(f"torn down for {ctx.user}"))
        return Raises()

    class Raises:
        def __iter__(self) -> Any:
            return self

        def __next__(self) -> bytes:
            raise Boom

        def close(self) -> None:
            log.append(f"closed for {ctx.user}")

    log: list[str] = []
    body = answer(app)
    with pytest.raises(Boom):
        next(iter(body))
    assert log == ["closed for ann", "torn down for ann"]
    body.close()
    assert log == ["closed for ann", "torn down for ann"]


def test_an_iterator_that_cannot_be_iterated_itself_goes_on_where_it_is() -> None:
    class Counts:
        def __init__(self) -> None:
            self.numbers = iter((1, 2, 3))

        def __next__(self) -> int:
            return next(self.numbers)

    class Anew:
        def __iter__(self) -> Any:
            return Counts()

    body = answer(lambda environ, start_response: Anew())
    blocks = iter(body)
    assert [next(blocks), *itertools.chain(blocks)] == [1, 2, 3]
    body.close()


def test_an_iterator_that_claims_to_be_the_body_is_told_from_it() -> None:
    class EqualToAll:
        __hash__ = None  # type: ignore[assignment]

        def __iter__(self) -> Any:
            return Steps() if type(self) is EqualToAll else self

        def __eq__(self, other: object) -> bool:
            return True

    class Steps(EqualToAll):
        def __init__(self) -> None:
            self.numbers = iter((1, 2))

        def __next__(self) -> int:
            return next(self.numbers)

    body = answer(lambda environ, start_response: EqualToAll())
    first, second = iter(body), iter(body)
    assert [next(first), next(second), next(first), next(second)] == [1, 1, 2, 2]
    body.close()


def test_steps_may_be_taken_of_a_body_that_begins_anew() -> None:
    class Anew:
        def __iter__(self) -> Iterator[str]:
            yield ctx.user
            yield "second"

    def app(environ: Any, start_response: Any) -> Any:
        ctx.user = "ann"
        return Anew()

    body = answer(app)
    assert [next(body), next(body)] == ["ann", "second"]
    body.close()


def test_closing_the_iterator_of_a_body_closes_nothing_but_the_body() -> None:
    class Steps:
        def __next__(self) -> bytes:
            return b"x"

        def close(self) -> None:
            closed.append("steps")

    class Anew:
        def __iter__(self) -> Any:
            return Steps()

        def close(self) -> None:
            closed.append("body")

    closed: list[str] = []
    iter(answer(lambda environ, start_response: Anew())).close()
    assert closed == ["body"]
