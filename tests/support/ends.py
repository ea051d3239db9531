"""Scopes whose end is struck, for unit tests: what they are of, and what strikes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import pytest

from tlctx import RequestContext


class Empty(RequestContext):
    """It has no values, so all its namespaces equal each other, and what has ended."""


class Full(RequestContext):
    user: str = "stranger"


class Struck(BaseException):
    """What arrives from outside."""


class Part:
    """Notes with what error it was closed."""

    def __init__(self, log: list[str], error: BaseException | None = None) -> None:
        self.log = log
        self.error = error

    def __enter__(self) -> None: ...

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        self.log.append(type(error).__name__)
        if self.error is not None:
            raise self.error


@contextmanager
def striking(owner: Any, name: str, times: Iterable[object] = count()) -> Iterator[None]:
    """A block in which each call of that function is struck, or so many of them."""
    times = iter(times)

    original = getattr(owner, name)

    def strike(*args: Any) -> Any:
        if next(times, None) is None:
            return original(*args)
        raise Struck

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, strike)
        yield
