"""What a request runs through, at its edges: the binding of a scope, the steps of a body, the middleware's gate."""

from __future__ import annotations

import gc
import random
import signal
import sys
import threading
import weakref
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import pytest
from support.helpers import PATIENCE, in_thread, run_program

import tlctx
from tlctx import ContextMiddleware, RequestContext, Scope
from tlctx._core.local import peek_dict, swap_dict

if TYPE_CHECKING:
    from collections.abc import Iterator

ctx: Any = type(tlctx.ctx)()
REQUEST = {"REQUEST_METHOD": "GET", "PATH_INFO": "/"}


class Boom(Exception):
    pass


class Payload:
    pass


def raising(*_: Any) -> Any:
    raise Boom


def start_response(*_: Any) -> Any:
    return None


def serve(app: Any) -> Any:
    return ContextMiddleware(app, ctx)(dict(REQUEST), start_response)


# Scopes


def test_a_body_goes_on_with_the_empty_scope_that_it_left_open() -> None:
    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        ctx.user = "outer"
        with ctx.scope():
            yield repr(getattr(ctx, "user", None)).encode()
            yield repr(getattr(ctx, "user", None)).encode()
        yield repr(ctx.user).encode()

    body = serve(app)
    assert list(body) == [b"None", b"None", b"'outer'"]
    body.close()


def test_a_thread_that_was_taken_away_from_a_scope_is_found_again_at_the_next_bind() -> None:
    scope = ctx.scope()
    if tlctx.IMPLEMENTATION == "c":
        del scope.thread
    scope.unbind(scope.bind())
    assert scope.thread == threading.get_ident()
    scope.close()


def test_describing_a_request_adds_nothing_to_its_environ() -> None:
    environ: Any = defaultdict(str)
    assert str(Scope(ctx, environ)).startswith("scope #")
    assert environ == {}


def test_nothing_keeps_a_scope_that_was_unbound_and_dropped_although_another_thread_looked_meanwhile() -> None:
    def bind_and_drop() -> list[Any]:
        scope = ctx.scope()
        displaced = scope.bind()
        ctx.value = Payload()
        dropped = [weakref.ref(scope), weakref.ref(ctx.value)]
        in_thread(lambda: getattr(ctx, "value", None))
        scope.unbind(displaced)
        return dropped

    dropped = bind_and_drop()
    gc.collect()
    assert [each() for each in dropped] == [None, None]


def test_nothing_keeps_an_inner_scope_either() -> None:
    with ctx.scope():

        def bind_and_drop() -> Any:
            inner = ctx.scope()
            displaced = inner.bind()
            in_thread(lambda: getattr(ctx, "value", None))
            inner.unbind(displaced)
            return weakref.ref(inner)

        dropped = bind_and_drop()
        gc.collect()
        assert dropped() is None


def test_a_finalizer_that_binds_a_scope_when_the_interpreter_has_lost_its_modules_does_no_harm() -> None:
    program = """
        import codecs, tlctx

        class Late:
            def __init__(self):
                self.scope = tlctx.ctx.scope()

            def __del__(self):
                try:
                    self.scope.unbind(self.scope.bind())
                except BaseException:
                    pass

        def search(name, late=Late()):
            return None

        codecs.register(search)  # the interpreter lets go of these last of all
        del search, Late
    """
    assert run_program(program) == ""


class Timeout(Exception):
    pass


@pytest.mark.skipif(
    tlctx.IMPLEMENTATION != "c", reason="in Python a signal's exception can arrive between any two steps"
)
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs setitimer")
def test_a_timeout_by_signal_leaves_no_scope_bound_wherever_it_arrives() -> None:
    def time_out(*_: Any) -> None:
        raise Timeout

    class Endless:
        def __iter__(self) -> Any:
            return self

        def __next__(self) -> bytes:
            return b"x"

    done = threading.Event()

    # Another thread that looks makes each step find its slot anew, in Python, where such an exception arrives.
    def look() -> None:
        while not done.is_set():
            getattr(ctx, "x", None)

    other = threading.Thread(target=look)
    interval, handler = sys.getswitchinterval(), signal.signal(signal.SIGALRM, time_out)
    hook, sys.unraisablehook = sys.unraisablehook, lambda _: None  # it may also arrive in a finalizer
    sys.setswitchinterval(1e-5)
    left: list[Any] = []
    other.start()
    try:
        for _ in range(3000):
            body = serve(lambda environ, start_response: Endless())
            try:
                signal.setitimer(signal.ITIMER_REAL, random.random() * 2e-4)
                while True:
                    next(body)
            except Timeout:
                left.append(peek_dict(ctx))
                swap_dict(ctx, None)
            body.close()
    finally:
        sys.setswitchinterval(interval)
        done.set()
        other.join(PATIENCE)
        signal.signal(signal.SIGALRM, handler)
        sys.unraisablehook = hook
    assert left == [None] * 3000


def test_what_unbinding_raises_has_the_apps_error_as_its_context() -> None:
    """A timeout that arrives where another thread was here, and this one has to be found anew."""

    def fail(error: BaseException, scope: Scope) -> None:
        in_thread(lambda: peek_dict(ctx))
        sys.settrace(time_out)

    def time_out(frame: Any, event: str, argument: Any) -> Any:
        if frame.f_code.co_name in ("current_lifetime", "unbind"):
            sys.settrace(None)
            raise Timeout

    with pytest.raises(Timeout) as raised:
        Scope(ctx).run(None, fail, None, raising)
    assert isinstance(raised.value.__context__, Boom)
    swap_dict(ctx, None)


def test_what_goes_with_a_scope_finds_it_over() -> None:
    seen: list[Any] = []

    class AtTheEnd:
        def __del__(self) -> None:
            seen.append((getattr(ctx, "user", "over"), sorted(scope.environ)))

    for kept in ("the error", "the environ"):
        environ = {**REQUEST, "x": AtTheEnd()} if kept == "the environ" else dict(REQUEST)
        scope = Scope(ctx, environ)
        del environ
        displaced = scope.bind()
        ctx.user = "ann"
        error = Boom(AtTheEnd() if kept == "the error" else None)
        scope.fail(error)
        del error
        scope.finish()
        scope.unbind(displaced)
    assert seen == [("over", [])] * 2


# Steps


def test_a_body_whose_iterator_is_taken_again_from_inside_a_step_after_the_end_goes_on() -> None:
    class Anew:
        def __iter__(self) -> Iterator[int]:
            if taken:
                iter(taken[0])
            yield 1
            yield 2

    taken: list[Any] = []
    body = serve(lambda environ, start_response: Anew())
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

    body = serve(lambda environ, start_response: Recovers())
    assert iter(body) is body
    assert next(body) == 1
    with pytest.raises(Boom):
        next(body)
    assert list(body) == [2]
    body.close()


def test_a_body_that_is_its_own_iterable_is_a_recursion_error() -> None:
    body = serve(lambda environ, start_response: iter([b"x"]))
    body._iterable = body
    with pytest.raises(RecursionError):
        iter(body)
    body._iterable = ()
    body.close()


# The gate


class Bare(ContextMiddleware):
    def __init__(self, app: Any) -> None:
        self.app, self.ctx, self.initialize = app, ctx, None


class Marking(ContextMiddleware):
    def __call__(self, environ: Any, start_response: Any) -> Any:
        return [b"marked", *super().__call__(environ, start_response)]


@pytest.mark.parametrize("kind", [Bare, lambda app: Marking(app, ctx)], ids=["no init", "own call"])
def test_a_subclass_of_the_middleware_works_as_any_class(kind: Any) -> None:
    answer = kind(lambda environ, start_response: [b"x"])(dict(REQUEST), None)
    assert answer[-1] == b"x"
    assert (len(answer) == 2) == (kind is not Bare)


def test_the_middleware_takes_its_arguments_by_name() -> None:
    middleware = ContextMiddleware(lambda environ, start_response: [b"x"], ctx)
    assert middleware(environ=dict(REQUEST), start_response=start_response) == [b"x"]
    with pytest.raises(TypeError, match="start_response"):
        middleware(dict(REQUEST))  # type: ignore[call-arg]


def test_what_the_middleware_raises_in_a_generator_leaves_no_exception_being_handled_there() -> None:
    class Outer(Exception):
        pass

    def inside() -> Iterator[Any]:
        with pytest.raises(Boom):
            serve(raising)
        yield None
        yield sys.exc_info()[0]

    def handling() -> tuple[Any, Any]:
        generator = inside()
        try:
            raise Outer  # noqa: TRY301
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
        serve(app)
    assert seen == [Boom]


def test_it_serves_with_the_app_and_the_context_that_it_has_at_the_time() -> None:
    class Other(RequestContext):
        pass

    middleware = ContextMiddleware(raising, ctx)
    other = Other()
    middleware.app = lambda environ, start_response: [repr(Scope.of(other) is not None).encode()]
    middleware.ctx = other
    assert middleware(dict(REQUEST), start_response) == [b"True"]
    middleware.initialize = lambda environ: {"user": "ann"}
    middleware.app = lambda environ, start_response: [other.user.encode()]  # type: ignore[attr-defined]
    assert middleware(dict(REQUEST), start_response) == [b"ann"]
