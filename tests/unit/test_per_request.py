"""`per_request`: a value that is made on first use, once a request."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Generator, Iterator
from typing import Any

import pytest
from support.contexts import Ctx, MadeCtx

from tlctx import RequestContext, per_request


def test_it_is_made_on_first_use_once_a_request_and_then_a_plain_value() -> None:
    made: list[str] = []

    class Mine(RequestContext):
        user: str = "-"

        @per_request
        def profile(self) -> dict[str, str]:
            """What the user chose."""
            made.append(self.user)
            return {"of": self.user}

    mine = Mine()
    for user in ("ann", "bob"):
        with mine.scope(user=user):
            assert made.count(user) == 0
            assert mine.profile is mine.profile
            assert vars(mine)["profile"] == {"of": user}
    assert made == ["ann", "bob"]
    assert Mine.profile.__doc__ == "What the user chose."


def test_it_can_be_assigned_for_a_test_say() -> None:
    made = MadeCtx()
    with made.scope(made=5):
        assert made.made == 5
        del made.made
        assert made.made == 1


def generating(log: list[Any], *, catch: bool = False) -> type[Any]:
    class Mine(RequestContext):
        @per_request
        def outer(self) -> Iterator[str]:
            log.append("outer opened")
            try:
                yield "outer"
            except BaseException as error:
                log.append(f"outer saw {type(error).__name__}")
                if not catch:
                    raise
            else:
                log.append("outer done")

        @per_request
        def inner(self) -> Generator[str, None, None]:
            value = f"inner in {self.outer}"
            try:
                yield value
            except BaseException as error:
                log.append(f"inner saw {type(error).__name__}")
                if not catch:
                    raise
            else:
                log.append(f"inner done with {self.outer}")

    return Mine


def test_a_generators_rest_runs_at_the_end_last_in_first_out() -> None:
    log: list[Any] = []
    mine = generating(log)()
    with mine.scope():
        assert mine.inner == "inner in outer"
        log.append("working")
    assert log == ["outer opened", "working", "inner done with outer", "outer done"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit, StopIteration])
@pytest.mark.parametrize("catch", [False, True], ids=["re-raising", "catching"])
def test_every_generator_sees_the_exception_also_when_another_caught_it(error: Any, *, catch: bool) -> None:
    log: list[Any] = []
    mine = generating(log, catch=catch)()
    with pytest.raises(error), mine.scope():
        _ = mine.inner
        raise error
    assert log == ["outer opened", f"inner saw {error.__name__}", f"outer saw {error.__name__}"]


def test_one_that_fails_leaves_nothing_and_is_tried_again() -> None:
    outcomes: Iterator[Any] = iter([ValueError("no connection"), "connected"])

    class Mine(RequestContext):
        @per_request
        def plain(self) -> str:
            outcome = next(outcomes)
            if isinstance(outcome, Exception):
                raise outcome
            return str(outcome)

        @per_request
        def generated(self) -> Iterator[str]:
            yield f"by {self.plain}"

    mine = Mine()
    with mine.scope():
        with pytest.raises(ValueError, match="no connection"):
            _ = mine.generated
        assert list(mine) == []
        assert mine.generated == "by connected"


def test_its_own_attribute_error_is_not_taken_for_a_missing_name() -> None:
    class Mine(Ctx):
        @per_request
        def wrong(self) -> str:
            return self.user.nonsense  # type: ignore[no-any-return,union-attr]

    mine = Mine()
    with mine.scope(), pytest.raises(AttributeError, match="'NoneType' object has no attribute 'nonsense'"):
        _ = mine.wrong


@pytest.mark.parametrize(("times", "message"), [(0, "didn't yield"), (2, "didn't stop")])
def test_a_generator_has_to_yield_exactly_once(times: int, message: str) -> None:
    class Mine(RequestContext):
        @per_request
        def value(self) -> Iterator[int]:
            yield from range(times)

    mine = Mine()
    with pytest.raises(RuntimeError, match=message) as caught, mine.scope():
        _ = mine.value
    assert not hasattr(mine, "value")
    assert str(caught.value) == f"per_request Mine.value: generator {message}: it has to yield its value, once"


def test_a_generator_that_yields_again_after_an_error_is_named_too() -> None:
    class Mine(RequestContext):
        @per_request
        def value(self) -> Iterator[int]:
            try:
                yield 1
            except ValueError:
                yield 2

    mine = Mine()
    message = r"^per_request Mine\.value: generator didn't stop after throw\(\): it has to yield its value, once$"
    with pytest.raises(RuntimeError, match=message) as caught, mine.scope():
        _ = mine.value
        raise ValueError
    assert type(caught.value.__context__) is ValueError


@pytest.mark.parametrize("times", [0, 2])
def test_a_context_manager_that_the_generator_uses_is_not_taken_for_it(times: int) -> None:
    @contextlib.contextmanager
    def inner() -> Iterator[None]:
        for _ in range(times):
            yield

    class Mine(RequestContext):
        @per_request
        def value(self) -> Iterator[int]:
            with inner():
                yield 1

    mine = Mine()
    with pytest.raises(RuntimeError, match=r"^generator didn't (yield|stop)$"), mine.scope():
        _ = mine.value


def test_what_is_opened_before_one_that_yields_twice_is_closed_all_the_same() -> None:
    log: list[str] = []

    class Mine(RequestContext):
        @per_request
        def before(self) -> Iterator[int]:
            try:
                yield 1
            except RuntimeError as error:
                log.append(str(error))
                raise

        @per_request
        def value(self) -> Iterator[int]:
            yield self.before
            log.append("once")
            yield 2

    mine = Mine()
    with pytest.raises(RuntimeError, match=r"Mine\.value"), mine.scope():
        _ = mine.value
    assert log == ["once", "per_request Mine.value: generator didn't stop: it has to yield its value, once"]


def test_a_coroutine_function_is_refused() -> None:
    with pytest.raises(TypeError, match="can't await: fetch must be a plain function"):

        @per_request
        async def fetch(self: Any) -> None: ...


def test_what_is_no_function_is_refused_and_any_callable_is_taken() -> None:
    wrong: Any = 5
    with pytest.raises(TypeError, match="decorates a method, not int"):
        per_request(wrong)

    class Mine(RequestContext):
        value = per_request(functools.partial(repr))

    mine = Mine()
    with mine.scope():
        assert mine.value.startswith("<Mine in scope #")


def test_a_generator_function_is_known_behind_a_decorator() -> None:
    def traced(function: Any) -> Any:
        @functools.wraps(function)
        def run(*args: Any) -> Any:
            return function(*args)

        return run

    closed: list[str] = []

    class Mine(RequestContext):
        @per_request
        @traced
        def value(self) -> Iterator[str]:
            yield "made"
            closed.append("closed")

    mine = Mine()
    with mine.scope():
        assert mine.value == "made"
    assert closed == ["closed"]


def test_an_object_that_is_no_context_is_refused() -> None:
    class Wrong:
        @per_request
        def value(self) -> int:
            return 1

    with pytest.raises(TypeError, match="'value' needs a RequestContext, not Wrong"):
        _ = Wrong().value


def test_it_works_from_a_mixin() -> None:
    class Mixin:
        @per_request
        def value(self) -> int:
            return 1

    class Mine(Mixin, RequestContext):
        pass

    mine = Mine()
    with mine.scope():
        assert mine.value == 1


def test_its_value_has_the_name_that_it_has_in_the_class() -> None:
    def make(self: Any) -> int:
        return 1

    class Mine(RequestContext):
        first = per_request(make)
        second = per_request(make)

    mine = Mine()
    with mine.scope():
        assert mine.second == 1
        assert list(mine) == ["second"]
