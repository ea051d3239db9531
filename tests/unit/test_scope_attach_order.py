"""Attaching scopes to a context variable and detaching them: in any order, where it is refused, and where it fails."""

from __future__ import annotations

import asyncio
import sys
import types
from typing import Any

import pytest
from support.contexts import UserCtx, seen
from support.helpers import Boom

from tlctx import Scope
from tlctx._core.attached import attached_scopes
from tlctx._core.propagation import attach, detach, propagate


def test_several_scopes_are_attached_and_detached_in_any_order() -> None:
    contexts = [UserCtx(), UserCtx(), UserCtx()]
    scopes = [Scope(ctx) for ctx in contexts]

    def users() -> list[str]:
        return [seen(ctx) for ctx in contexts]

    for number, scope in enumerate(scopes):
        attach(scope)
        contexts[number].user = f"user {number}"
    assert users() == ["user 0", "user 1", "user 2"]
    detach(scopes[1])
    assert users() == ["user 0", "nothing", "user 2"]
    detach(scopes[1])
    detach(scopes[0])
    assert users() == ["nothing", "nothing", "user 2"]
    detach(scopes[2])
    assert attached_scopes.get() == ()
    for scope in scopes:
        scope.close()


def test_the_scope_that_was_attached_last_counts_until_it_is_detached(ctx: UserCtx) -> None:
    outer, inner = Scope(ctx), Scope(ctx)
    for scope, user in ((outer, "outer"), (inner, "inner"), (outer, "outer again")):
        attach(scope)
        ctx.user = user
    assert [pair[0] for pair in attached_scopes.get()] == [outer, inner]
    detach(outer)
    assert ctx.user == "inner"
    detach(inner)
    outer.close()
    inner.close()


def test_scopes_that_have_ended_are_let_go_of_when_another_is_attached_or_detached(ctx: UserCtx) -> None:
    ended, staying, other = Scope(ctx), Scope(UserCtx()), Scope(UserCtx())
    attach(ended)
    attach(staying)
    ended.close()
    attach(other)
    assert [pair[0] for pair in attached_scopes.get()] == [other, staying]
    staying.close()
    detach(other)
    assert attached_scopes.get() == ()
    other.close()


@pytest.mark.parametrize("wrong", [None, 5, UserCtx()])
def test_what_is_no_scope_can_not_be_attached(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"^attach\(\) needs a Scope, not (NoneType|int|UserCtx)$"):
        attach(wrong)
    with pytest.raises(TypeError, match="needs a Scope"), propagate(wrong):
        pass
    assert attached_scopes.get() == ()


@pytest.mark.parametrize("asyncio_module", [None, types.ModuleType("asyncio")], ids=["none", "half-imported"])
def test_a_scope_is_attached_where_asyncio_is_not_imported(
    asyncio_module: types.ModuleType | None, ctx: UserCtx, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "asyncio", asyncio_module)
    scope = Scope(ctx)
    with propagate(scope):
        assert (seen(ctx), attached_scopes.get()) == ("nobody", ((scope, None),))
    scope.close()


def test_an_error_of_the_event_loop_that_is_asked_leaves_what_was_attached(
    ctx: UserCtx, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise Boom

    scope, other = Scope(ctx), Scope(UserCtx())
    attach(other)
    with monkeypatch.context() as patch:
        patch.setattr(asyncio, "_get_running_loop", fail)
        with pytest.raises(Boom):
            attach(scope)
    assert attached_scopes.get() == ((other, None),)
    detach(other)
    scope.close()
    other.close()


@pytest.mark.parametrize("name", ["attach", "detach"])
def test_a_scope_is_propagated_no_longer_than_its_block_also_where_that_is_struck(
    name: str, ctx: UserCtx, monkeypatch: pytest.MonkeyPatch
) -> None:
    propagation: Any = sys.modules["tlctx._core.propagation"]
    struck = iter([True])

    def strike(scope: Scope) -> None:
        if name == "attach":
            attach(scope)
        if next(struck, False):
            raise Boom
        detach(scope)

    scope = Scope(ctx)
    with monkeypatch.context() as patch:
        patch.setattr(propagation, name, strike)
        with pytest.raises(Boom), propagate(scope):
            assert ctx.user == "nobody"
    assert seen(ctx) == "nothing"
    scope.close()
