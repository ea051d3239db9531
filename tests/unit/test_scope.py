"""Scope: one life, bound and unbound many times, closed once, whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import sys
import threading
import weakref
from collections.abc import AsyncGenerator, Generator, Iterator
from typing import Any

import pytest
from support.helpers import PATIENCE, in_thread

from tlctx import OutsideRequestError, RequestContext, RequestEndedError, Scope, per_request
from tlctx._core import errors


class Ctx(RequestContext):
    user: str = "nobody"


@pytest.fixture
def ctx() -> Ctx:
    return Ctx()


def seen(ctx: Ctx) -> str:
    return getattr(ctx, "user", "nothing")


# Identity


def test_a_serial_number_is_never_reused(ctx: Ctx) -> None:
    serials = [ctx.scope().serial for _ in range(100)]
    assert serials == sorted(set(serials))


def test_a_scope_says_who_it_is(ctx: Ctx) -> None:
    scope = Scope(ctx, {"REQUEST_METHOD": "GET", "PATH_INFO": "/notes", "QUERY_STRING": "token=s3cret"})
    assert str(scope) == f"request #{scope.serial} (GET /notes)"
    assert scope.context is ctx
    assert scope.environ["PATH_INFO"] == "/notes"
    assert scope.age >= 0
    displaced = scope.bind()
    assert scope.thread == threading.get_ident()
    scope.unbind(displaced)
    scope.close()
    assert str(scope) == f"request #{scope.serial} (GET /notes)"
    assert scope.environ == {}


@pytest.mark.parametrize("part", ["REQUEST_METHOD", "PATH_INFO"])
def test_what_a_client_sends_cannot_forge_a_log_line(ctx: Ctx, part: str) -> None:
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", part: "/a\nINFO forged\x85\u2028" + "x" * 1000}
    text = str(Scope(ctx, environ))
    assert text.isascii()
    assert text.isprintable()
    assert len(text) < 1200


def test_the_current_scope_can_be_asked_for(ctx: Ctx) -> None:
    assert Scope.of(ctx) is None
    with ctx.scope() as scope:
        assert Scope.of(ctx) is scope
        assert in_thread(lambda: Scope.of(ctx)) is None
        scope.close()
        assert Scope.of(ctx) is None


# Binding


def test_nothing_of_a_scope_is_on_the_thread_between_its_pieces(ctx: Ctx) -> None:
    scope = Scope(ctx)
    for step in range(3):
        displaced = scope.bind()
        assert seen(ctx) == ("nobody" if step == 0 else f"step {step - 1}")
        ctx.user = f"step {step}"
        scope.unbind(displaced)
        assert seen(ctx) == "nothing"
        assert ctx._local__impl.dicts == {}
    scope.close()


def test_scopes_taken_in_turn_on_one_thread_each_see_their_own(ctx: Ctx) -> None:
    scopes = [Scope(ctx) for _ in range(3)]
    for step in range(3):
        for number, scope in enumerate(scopes):
            displaced = scope.bind()
            assert seen(ctx) == ("nobody" if step == 0 else f"{number}")
            ctx.user = f"{number}"
            scope.unbind(displaced)


def test_a_scope_goes_on_on_another_thread(ctx: Ctx) -> None:
    scope = Scope(ctx)

    def piece() -> str:
        displaced = scope.bind()
        try:
            before, ctx.user = ctx.user, "written on another thread"
            return before
        finally:
            scope.unbind(displaced)

    assert in_thread(piece) == "nobody"
    assert piece() == "written on another thread"


def test_an_inner_scope_sees_nothing_of_the_outer_which_comes_back(ctx: Ctx) -> None:
    with ctx.scope(user="outer", extra=1):
        outer = vars(ctx)
        with ctx.scope():
            assert (ctx.user, list(ctx)) == ("nobody", ["user"])
            ctx.user = "inner"
        assert ctx.user == "outer"
        assert vars(ctx) is outer


def test_two_contexts_do_not_touch_each_other(ctx: Ctx) -> None:
    other = Ctx()
    with ctx.scope(user="ann"):
        assert seen(other) == "nothing"
        with other.scope(user="bob"):
            assert (ctx.user, other.user) == ("ann", "bob")


def test_scopes_left_out_of_order_leave_nothing_on_the_thread(ctx: Ctx) -> None:
    def work(user: str) -> Generator[str, None, None]:
        with ctx.scope(user=user):
            yield ctx.user
            yield ctx.user

    with ctx.scope(user="request"):
        first, second = work("first"), work("second")
        assert [next(first), next(second)] == ["first", "second"]
        first.close()
        assert seen(ctx) == "second"
        second.close()
        assert seen(ctx) == "request"
    assert ctx._local__impl.dicts == {}


def test_a_scope_that_ended_beneath_another_does_not_come_back(ctx: Ctx) -> None:
    outer, inner = Scope(ctx), Scope(ctx)
    beneath_outer = outer.bind()
    beneath_inner = inner.bind()
    outer.close()
    assert ctx.user == "nobody"
    inner.unbind(beneath_inner)
    assert ctx._local__impl.dicts == {}
    outer.unbind(beneath_outer)
    inner.close()


def test_code_that_is_suspended_inside_an_inner_scope_goes_on_inside_it(ctx: Ctx) -> None:
    def body() -> Iterator[str]:
        yield ctx.user
        with ctx.scope(user="inner"):
            yield ctx.user
            yield ctx.user
        yield ctx.user

    scope, steps = Scope(ctx), body()
    found = []
    for number in range(4):
        where: Any = in_thread if number == 2 else lambda piece: piece()

        def piece() -> str:
            displaced = scope.bind()
            try:
                return next(steps)
            finally:
                scope.unbind(displaced)

        found.append(where(piece))
        assert seen(ctx) == "nothing"
    assert found == ["nobody", "inner", "inner", "nobody"]


def test_a_scope_that_has_ended_can_be_neither_bound_nor_entered_nor_given_anything(ctx: Ctx) -> None:
    with ctx.scope() as scope:
        pass
    for use in (
        scope.bind,
        scope.__enter__,
        lambda: scope.callback(print),
        lambda: scope.enter_context(contextlib.nullcontext()),
    ):
        with pytest.raises(RequestEndedError, match=f"scope #{scope.serial} has ended"):
            use()


def test_a_scope_is_entered_only_once(ctx: Ctx) -> None:
    with ctx.scope() as scope, pytest.raises(RuntimeError, match="was entered or bound before"):
        scope.__enter__()
    assert ctx._local__impl.dicts == {}


# Teardown


class Boom(Exception):
    pass


def raising(error: BaseException) -> None:
    raise error


def test_teardown_runs_once_last_in_first_out_with_the_scope_bound(ctx: Ctx) -> None:
    log: list[str] = []
    with ctx.scope(user="ann") as scope:
        ctx.callback(lambda word: log.append(f"{word} {ctx.user}"), "first")
        with_lock = ctx.enter_context(threading.Lock())
        ctx.callback(log.append, "second")
        assert with_lock
    scope.close()
    assert log == ["second", "first ann"]


def test_all_of_it_runs_even_if_parts_raise_and_the_last_error_is_raised(ctx: Ctx) -> None:
    log: list[str] = []
    with pytest.raises(Boom, match="second") as caught, ctx.scope():
        ctx.callback(log.append, "before")
        ctx.callback(raising, Boom("second"))
        ctx.callback(log.append, "between")
        ctx.callback(raising, Boom("first"))
        ctx.callback(log.append, "after")
    assert log == ["after", "between", "before"]
    assert str(caught.value.__context__) == "first"
    assert ctx._local__impl.dicts == {}


def test_no_error_of_a_teardown_is_lost(ctx: Ctx) -> None:
    body, first, second = (Boom(text) for text in ("body", "first", "second"))
    with pytest.raises(Boom), ctx.scope():
        ctx.callback(raising, second)
        ctx.callback(raising, first)
        raise body
    assert errors.chain(second) == [second, first, body]


def test_an_error_that_the_teardown_raises_twice_makes_no_endless_chain(ctx: Ctx) -> None:
    first, second = Boom("first"), Boom("second")
    with pytest.raises(Boom, match="first"), ctx.scope():
        for error in (first, second, first):
            ctx.callback(raising, error)
    assert len(errors.chain(first)) <= 2


@pytest.mark.parametrize("error", [Boom, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_teardown_learns_of_the_exception_which_goes_on(ctx: Ctx, error: Any) -> None:
    learned: list[Any] = []

    class Transaction:
        def __enter__(self) -> None: ...
        def __exit__(self, *exc: object) -> None:
            learned.append(exc[0])

    with pytest.raises(error), ctx.scope():
        ctx.enter_context(Transaction())
        raise error
    assert learned == [error]


def test_a_context_manager_that_swallows_does_so_for_the_teardown_but_not_for_the_caller(ctx: Ctx) -> None:
    with pytest.raises(Boom), ctx.scope():
        ctx.enter_context(contextlib.suppress(Boom))
        raise Boom


def test_an_exception_that_somebody_handled_reaches_the_teardown(ctx: Ctx) -> None:
    learned: list[Any] = []
    with ctx.scope() as scope:
        scope.enter_context(contextlib.ExitStack()).push(lambda *exc: learned.append(exc[1]))
        handled = Boom()
        scope.fail(handled)
    assert learned == [handled]


def test_what_teardown_itself_adds_runs_too(ctx: Ctx) -> None:
    log: list[str] = []

    class Mine(Ctx):
        @per_request
        def late(self) -> Iterator[str]:
            yield "late"
            log.append("late closed")

    mine = Mine()
    with mine.scope():
        mine.callback(lambda: log.append(mine.late))
        mine.callback(lambda: mine.callback(log.append, "added at the end"))
    assert log == ["added at the end", "late", "late closed"]


def test_closing_inside_teardown_does_nothing(ctx: Ctx) -> None:
    log: list[str] = []
    with ctx.scope() as scope:
        scope.callback(log.append, "first")
        scope.callback(scope.close)
    assert log == ["first"]


def test_many_threads_that_close_at_once_run_the_teardown_once(ctx: Ctx) -> None:
    for _ in range(20):
        scope, together = Scope(ctx), threading.Barrier(4)
        runs: list[int] = []

        def close(scope: Scope = scope, together: threading.Barrier = together) -> None:
            together.wait(PATIENCE)
            scope.close()

        scope.callback(runs.append, 1)
        threads = [threading.Thread(target=close) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        assert runs == [1]


def test_a_scope_closed_on_a_thread_that_serves_another_leaves_that_one_alone(ctx: Ctx) -> None:
    log: list[str] = []
    late = Scope(ctx)
    late.callback(lambda: log.append(ctx.user))
    with ctx.scope(user="current"):
        late.close()
        assert ctx.user == "current"
    assert log == ["nobody"]


@pytest.mark.parametrize("thing", [None, "text", object, threading.Thread])
def test_what_is_no_context_manager_is_refused_and_the_scope_goes_on(ctx: Ctx, thing: Any) -> None:
    with ctx.scope():
        with pytest.raises(TypeError, match="context manager protocol"):
            ctx.enter_context(thing)
        with pytest.raises(TypeError, match="needs a function to call"):
            ctx.callback("not callable")  # type: ignore[arg-type]
        assert ctx.user == "nobody"


@pytest.mark.parametrize("values", [{"user": "ann", "scope": 1}, {5: "x"}], ids=["a method's name", "no string"])
def test_first_values_that_cannot_be_assigned_close_the_scope(ctx: Ctx, values: Any) -> None:
    scope = Scope(ctx, values=values)
    with pytest.raises((AttributeError, TypeError)):
        scope.__enter__()
    assert scope.ended
    assert ctx._local__impl.dicts == {}


def test_an_init_that_raises_closes_the_scope_after_what_it_opened() -> None:
    log: list[str] = []

    class Mine(RequestContext):
        def __init__(self) -> None:
            self.callback(log.append, "closed")
            raise Boom

    mine = Mine()
    with pytest.raises(Boom), mine.scope():
        pass
    assert log == ["closed"]
    assert Scope.of(mine) is None


class FalsyError(Exception):
    def __len__(self) -> int:
        return 0


def test_an_exception_that_counts_as_false_is_an_exception(ctx: Ctx) -> None:
    learned: list[Any] = []
    error = FalsyError()
    with pytest.raises(FalsyError), ctx.scope():
        ctx.enter_context(contextlib.ExitStack()).push(lambda *exc: learned.append(exc[1]))
        raise error
    assert learned[0] is error


def test_errors_that_claim_to_be_equal_are_told_apart(ctx: Ctx) -> None:
    class Equal(Exception):
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = None  # type: ignore[assignment]

    first, second = Equal("first"), Equal("second")
    with pytest.raises(Equal) as caught, ctx.scope():
        ctx.callback(raising, second)
        ctx.callback(raising, first)
    assert caught.value is second
    assert second.__context__ is first


def test_a_part_that_passes_on_the_exception_it_was_told_of_has_not_failed(ctx: Ctx) -> None:
    class PassesOn:
        def __enter__(self) -> None: ...
        def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
            if error is not None:
                raise error

    with ctx.scope() as scope:
        ctx.enter_context(PassesOn())
        scope.fail(Boom("handled"))


def test_what_another_thread_enters_while_the_scope_ends_is_left_at_once(ctx: Ctx) -> None:
    entering, ended = threading.Event(), threading.Event()
    log: list[str] = []

    class Slow:
        def __enter__(self) -> str:
            entering.set()
            assert ended.wait(PATIENCE)
            log.append("entered")
            return "connection"

        def __exit__(self, *exc: object) -> None:
            log.append("left")

    def enter() -> None:
        with pytest.raises(RequestEndedError, match="entering a context manager"):
            scope.enter_context(Slow())

    scope = Scope(ctx)
    thread = threading.Thread(target=enter)
    thread.start()
    assert entering.wait(PATIENCE)
    scope.close()
    ended.set()
    thread.join(PATIENCE)
    assert log == ["entered", "left"]


def test_no_callback_is_lost_when_threads_add_the_first_ones_at_once(ctx: Ctx) -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(300):
            scope, together, runs = Scope(ctx), threading.Barrier(2), list[int]()

            def add(scope: Scope = scope, together: threading.Barrier = together, runs: list[int] = runs) -> None:
                together.wait(PATIENCE)
                scope.callback(runs.append, 1)

            threads = [threading.Thread(target=add) for _ in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(PATIENCE)
            scope.close()
            assert runs == [1, 1]
    finally:
        sys.setswitchinterval(interval)


def test_a_values_finalizer_cannot_open_anything_in_a_scope_that_ends(ctx: Ctx) -> None:
    refused: list[Any] = []

    class Opens:
        def __del__(self) -> None:
            try:
                scope.callback(refused.append, "never")
            except RequestEndedError:
                refused.append("refused")

    with ctx.scope() as scope:
        ctx.callback(id, 1)
        ctx.payload = Opens()  # type: ignore[attr-defined]
    assert refused == ["refused"]


def test_the_scope_of_a_request_cannot_be_entered_once_more(ctx: Ctx) -> None:
    scope = Scope(ctx)
    displaced = scope.bind()
    with pytest.raises(RuntimeError, match="was entered or bound before"), scope:
        pass
    assert ctx.user == "nobody"
    scope.unbind(displaced)
    scope.close()


# What is left afterwards


def test_values_and_scope_are_freed_at_the_end_without_the_collector(ctx: Ctx) -> None:
    class Payload:
        pass

    gc.disable()
    try:
        with ctx.scope() as scope:
            ctx.payload = Payload()  # type: ignore[attr-defined]
            ctx.callback(id, ctx.payload)  # type: ignore[attr-defined]
            references = [weakref.ref(ctx.payload), weakref.ref(scope)]  # type: ignore[attr-defined]
        del scope
        assert [reference() for reference in references] == [None, None]
    finally:
        gc.enable()


def test_a_values_finalizer_that_writes_at_the_end_leaves_nothing(ctx: Ctx) -> None:
    refused: list[Any] = []

    class Writes:
        def __del__(self) -> None:
            try:
                ctx.user = "left behind"
            except RequestEndedError as error:
                refused.append(str(error))

    with ctx.scope() as scope:
        ctx.payload = Writes()  # type: ignore[attr-defined]
    assert len(refused) == 1
    assert f"scope #{scope.serial} has ended" in refused[0]


# Coroutines


async def turns(ctx: Ctx, user: str) -> list[str]:
    found = []
    with ctx.scope(user=user):
        for _ in range(3):
            await asyncio.sleep(0)
            found.append(ctx.user)
        found.append(await asyncio.to_thread(lambda: ctx.user))
        with ctx.scope(user=f"inner {user}"):
            await asyncio.sleep(0)
            found.append(ctx.user)
    found.append(seen(ctx))
    return found


def test_tasks_that_take_turns_each_see_the_scope_they_opened(ctx: Ctx) -> None:
    async def main() -> Any:
        return await asyncio.gather(*(turns(ctx, user) for user in ("ann", "bob")))

    for user, found in zip(("ann", "bob"), asyncio.run(main()), strict=True):
        assert found == [user, user, user, user, f"inner {user}", "nothing"]


def test_a_task_that_outlives_its_scope_is_told_so(ctx: Ctx) -> None:
    async def late(go: asyncio.Event) -> str:
        await go.wait()
        return ctx.user

    async def main() -> int:
        go = asyncio.Event()
        with ctx.scope() as scope:
            task = asyncio.create_task(late(go))
            await asyncio.sleep(0)
        go.set()
        with pytest.raises(RequestEndedError, match=f"scope #{scope.serial} has ended"):
            await task
        return scope.serial

    assert asyncio.run(main())


def test_a_scope_in_a_coroutine_inside_a_threads_own_scope_is_refused(ctx: Ctx) -> None:
    async def main() -> None:
        with ctx.scope(user="inner"):
            pass

    with ctx.scope(user="outer"):
        with pytest.raises(RuntimeError, match="can't be opened in a coroutine while its event loop runs inside"):
            asyncio.run(main())
        assert ctx.user == "outer"


def test_scopes_of_coroutines_left_out_of_order_each_take_away_their_own(ctx: Ctx) -> None:
    async def work(user: str) -> AsyncGenerator[str, None]:
        with ctx.scope(user=user):
            while True:
                yield ctx.user

    async def main() -> None:
        with ctx.scope(user="outer"):
            first, second = work("first"), work("second")
            assert [await anext(first), await anext(second)] == ["first", "second"]
            await first.aclose()
            assert await anext(second) == "second"
            await second.aclose()
            assert ctx.user == "outer"
        assert seen(ctx) == "nothing"

    asyncio.run(main())


def test_plain_code_that_a_coroutine_calls_nests_scopes_as_anywhere(ctx: Ctx) -> None:
    def request() -> list[str]:
        scope = Scope(ctx)
        displaced = scope.bind()
        found = []
        with ctx.scope(user="inner"):
            found.append(ctx.user)
        found.append(ctx.user)
        scope.callback(in_teardown, found)
        scope.unbind(displaced)
        scope.close()
        return found

    def in_teardown(found: list[str]) -> None:
        with ctx.scope(user="teardown"):
            found.append(ctx.user)

    async def main() -> list[str]:
        return request()

    assert asyncio.run(main()) == ["inner", "nobody", "teardown"]


def test_a_bound_scope_comes_before_a_carried_one(ctx: Ctx) -> None:
    with ctx.scope(user="carried") as scope, scope.carried():
        context = contextvars.copy_context()

    def serve() -> str:
        with ctx.scope(user="served here"):
            return context.run(seen, ctx)

    assert in_thread(serve) == "served here"


def test_a_thread_that_inherited_context_variables_sees_nothing(ctx: Ctx, monkeypatch: pytest.MonkeyPatch) -> None:
    class Flags:
        thread_inherit_context = True

    with ctx.scope(user="of another request") as scope, scope.carried():
        inherited = contextvars.copy_context()
        monkeypatch.setattr(sys, "flags", Flags)
        assert in_thread(lambda: inherited.run(seen, ctx)) == "nothing"
        with pytest.raises(OutsideRequestError):
            in_thread(lambda: inherited.run(setattr, ctx, "user", "x"))
        monkeypatch.undo()
        assert in_thread(lambda: inherited.run(seen, ctx)) == "of another request"
