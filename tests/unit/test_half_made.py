"""An object whose `__init__` never ran, or did not end, goes without a word: its finalizer has nothing to end."""

from __future__ import annotations

import gc
import sys
from typing import Any

import pytest
from support.helpers import Boom, raise_boom

import tlctx
from tlctx import Scope, _bodies
from tlctx._core.implementation import ScopeBase, ScopedIterator
from tlctx._core.threads import ForeignThread, ThreadRecord


class Unready:
    """What can't be asked for its `close`."""

    close = property(raise_boom)


class Words:
    """The source of a scope that has no words for its label."""

    get = raise_boom


KINDS: list[Any] = [
    ForeignThread, Scope, ScopeBase, ScopedIterator, ThreadRecord,
    _bodies._Body, _bodies._ClosedBody, _bodies._FileCloser, _bodies._SizedBody, tlctx.local,
]  # fmt: skip
FAILING: dict[str, Any] = {
    "a file's end": lambda: _bodies._FileCloser(Unready(), Scope(tlctx.ctx)),
    "a scope": lambda: Scope(tlctx.ctx, Words(), ("a", "b")),
    "a scope of no context": lambda: Scope(5),
    "a thread's record": lambda: ThreadRecord(1, 5),  # type: ignore[arg-type]
    "a body": _bodies._Body,
}


@pytest.fixture
def unraisable(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    found: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda raised: found.append((raised.object, raised.exc_value)))
    return found


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_object_whose_init_never_ran_goes_without_a_word(kind: Any, unraisable: list[Any]) -> None:
    try:
        made = kind.__new__(kind)
    except TypeError:
        return  # it can't be made
    del made
    gc.collect()
    assert unraisable == []


@pytest.mark.parametrize("make", FAILING)
def test_an_object_whose_init_raised_goes_without_a_word(make: str, unraisable: list[Any]) -> None:
    with pytest.raises((Boom, TypeError, AttributeError)):
        FAILING[make]()
    gc.collect()
    assert unraisable == []
    assert tlctx._core.scope.open_scopes() == []
