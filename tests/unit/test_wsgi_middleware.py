"""ContextMiddleware: subclasses, arguments, and the exception that is being handled."""

from __future__ import annotations

import sys
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from tlctx import ContextMiddleware, RequestContext, Scope

if TYPE_CHECKING:
    from collections.abc import Iterator
from support.helpers import Boom, raise_boom, start_nothing
from support.requests import REQUEST, answer, ctx


class Bare(ContextMiddleware):
    def __init__(self, app: Any) -> None:
        self.app, self.ctx, self.initialize = app, ctx, None


class Marking(ContextMiddleware):
    def __call__(self, environ: Any, start_response: Any) -> Any:
        return [b"marked", *super().__call__(environ, start_nothing)]


@pytest.mark.parametrize("kind", [Bare, lambda app: Marking(app, ctx)], ids=["no init", "own call"])
def test_a_subclass_of_the_middleware_works_as_any_class(kind: Any) -> None:
    answer = kind(lambda environ, start_response: [b"x"])(dict(REQUEST), None)
    assert answer[-1] == b"x"
    assert (len(answer) == 2) == (kind is not Bare)


def test_the_middleware_takes_its_arguments_by_name() -> None:
    middleware = ContextMiddleware(lambda environ, start_response: [b"x"], ctx)
    assert middleware(environ=dict(REQUEST), start_response=start_nothing) == [b"x"]
    with pytest.raises(TypeError, match="start_response"):
        middleware(dict(REQUEST))  # type: ignore[call-arg]


def test_what_the_middleware_raises_in_a_generator_leaves_no_exception_being_handled_there() -> None:
    class Outer(Exception):
        pass

    def inside() -> Iterator[Any]:
        with pytest.raises(Boom):
            answer(raise_boom)
        yield None
        yield sys.exc_info()[0]

    def handling() -> tuple[Any, Any]:
        generator = inside()
        try:
            raise Outer
        except Outer as error:
            next(generator)
            return generator, weakref.ref(error)

    generator, outer = handling()
    assert next(generator) is None
    assert outer() is None


def test_a_teardown_sees_the_exception_being_handled() -> None:
    seen: list[Any] = []

    def app(environ: Any, start_response: Any) -> Any:
        ctx.callback(lambda: seen.append(sys.exc_info()[0]))
        raise Boom

    with pytest.raises(Boom):
        answer(app)
    assert seen == [Boom]


def test_it_serves_with_the_app_and_the_context_that_it_has_at_the_time() -> None:
    class Other(RequestContext):
        pass

    middleware = ContextMiddleware(raise_boom, ctx)
    other = Other()
    middleware.app = lambda environ, start_response: [repr(Scope.current(other) is not None).encode()]
    middleware.ctx = other
    assert middleware(dict(REQUEST), start_nothing) == [b"True"]
    middleware.initialize = lambda environ: {"user": "ann"}
    middleware.app = lambda environ, start_response: [other.user.encode()]  # type: ignore[attr-defined]
    assert middleware(dict(REQUEST), start_nothing) == [b"ann"]
