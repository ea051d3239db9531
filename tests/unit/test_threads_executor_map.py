"""The executor's `map`: its calls have the values of the moment in which it is called."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from support.helpers import PATIENCE

from tlctx.threads import ThreadPoolExecutor


def test_map_gives_all_calls_the_values_of_its_own_moment(ctx: Any) -> None:
    def job(number: int, letter: str) -> tuple[str, int, str]:
        return ctx.user, number, letter

    with ThreadPoolExecutor(2, contexts=[ctx]) as pool:
        with ctx.scope(user="ann"):
            results = pool.map(job, range(3), "abc", timeout=PATIENCE, chunksize=2)
        assert list(results) == [("ann", 0, "a"), ("ann", 1, "b"), ("ann", 2, "c")]


def test_map_reads_its_arguments_where_it_is_called(ctx: Any) -> None:
    with ThreadPoolExecutor(2, contexts=[ctx]) as pool, ctx.scope(user="ann"):
        results = pool.map(lambda given: (given, ctx.user), (f"{ctx.user} {number}" for number in range(2)))
        assert list(results) == [("ann 0", "ann"), ("ann 1", "ann")]


def test_calls_that_map_submits_late_are_those_of_its_own_request(ctx: Any) -> None:
    class Late(ThreadPoolExecutor):
        """Submits as `map` with a `buffersize` does: when the results are asked for."""

        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
            with ctx.scope(user="bob"):
                return super().submit(fn, *args, **kwargs)

    with Late(1, contexts=[ctx]) as pool:
        with ctx.scope(user="ann"):
            assert list(pool.map(lambda _: ctx.user, range(2))) == ["ann"] * 2
        outside = pool.map(lambda _: ctx.get("user", None), range(2))
        assert list(outside) == [None, None]


def test_map_hands_over_what_newer_pythons_take(ctx: Any) -> None:
    with ThreadPoolExecutor(1, contexts=[ctx]) as pool, ctx.scope(user="ann"):
        if sys.version_info >= (3, 14):
            assert list(pool.map(lambda _: ctx.user, range(3), buffersize=1)) == ["ann"] * 3
        else:
            with pytest.raises(TypeError, match="buffersize"):
                pool.map(lambda _: ctx.user, range(3), buffersize=1)
