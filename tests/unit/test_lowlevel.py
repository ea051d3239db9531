"""tlctx.lowlevel: what integrations stand on."""

from __future__ import annotations

import gc
from typing import Any

import pytest
from support.helpers import in_thread

import tlctx
from tlctx import RequestContext, RequestEndedError, lowlevel, per_request
from tlctx.lowlevel import Count, Scope, bound, check_field, open_scopes


class Ctx(RequestContext):
    user: str = "nobody"


@pytest.fixture
def ctx() -> Ctx:
    return Ctx()


def test_all_names_are_there_and_have_docstrings() -> None:
    for name in lowlevel.__all__:
        assert name == "explanations" or getattr(lowlevel, name).__doc__, name


# Binding by hand


def test_a_bound_scope_is_current_inside_the_block_and_nowhere_else(ctx: Ctx) -> None:
    scope = Scope(ctx, source={"job": 7}, label="job 7")
    with bound(scope) as inside:
        assert inside is scope
        ctx.user = "ann"
        assert Scope.current(ctx) is scope
        assert in_thread(lambda: Scope.current(ctx)) is None
    assert Scope.current(ctx) is None
    assert not scope.ended
    assert in_thread(lambda: user_in(scope)) == "ann"
    scope.close()


def user_in(scope: Scope) -> Any:
    with bound(scope):
        return scope.context.user  # type: ignore[attr-defined]


def test_leaving_the_block_makes_the_outer_scope_current_again(ctx: Ctx) -> None:
    with ctx.scope(user="outer"):
        inner = Scope(ctx)
        with pytest.raises(ZeroDivisionError), bound(inner):
            assert ctx.user == "nobody"
            raise ZeroDivisionError
        assert ctx.user == "outer"
        inner.close()


def test_a_scope_that_has_ended_cannot_be_bound(ctx: Ctx) -> None:
    scope = Scope(ctx, label="job 7")
    scope.close()
    with pytest.raises(RequestEndedError, match=r"binding a scope on thread .* after request #\d+ \(job 7\) has ended"):
        bound(scope).__enter__()
    assert Scope.current(ctx) is None


# Label and source


def test_what_is_no_scope_can_not_be_bound() -> None:
    with pytest.raises(TypeError, match="needs a Scope, not int"):
        bound(5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("label", "text"),
    [
        ("job 7", "job 7"),
        ("j7", "j7"),
        (("method", "path"), "GET /notes"),
        (("method", "other"), "GET"),
        (("path",), "/notes"),
        (("method", "other", "path"), "GET /notes"),
        ("", ""),
    ],
)
def test_the_label_names_a_scope_before_and_after_its_end(ctx: Ctx, label: Any, text: str) -> None:
    source = {"method": "GET", "path": "/notes"}
    scope = Scope(ctx, source, label)
    assert (scope.label, scope.source) == (text, source)
    scope.close()
    assert (scope.label, scope.source) == (text, None)
    assert str(scope) == (f"request #{scope.serial} ({text})" if text else f"scope #{scope.serial}")


def test_a_label_cannot_forge_a_log_line(ctx: Ctx) -> None:
    text = Scope(ctx, label="job\nINFO forged\x85\u2028" + "x" * 1000).label
    assert text.isprintable()
    assert len(text) == 208


# Open scopes


def test_open_scopes_are_those_that_have_begun_and_not_ended(ctx: Ctx) -> None:
    new, second, first = Scope(ctx), Scope(ctx, label="second"), ctx.scope()
    with first:
        displaced = second.bind()
        second.unbind(displaced)
        found = open_scopes()
        assert [scope for scope in found if scope.context is ctx] == [second, first]
        assert new not in found
    second.close()
    assert not [scope for scope in open_scopes() if scope.context is ctx]


def test_open_scopes_asks_no_object_for_its_class(ctx: Ctx) -> None:
    class Proxy:
        @property  # type: ignore[misc]
        def __class__(self) -> Any:
            raise AssertionError("asked")

    proxy = [Proxy()]
    assert gc.is_tracked(proxy)
    with ctx.scope() as scope:
        assert scope in open_scopes()


# What a context can have


class StrictCtx(RequestContext, strict=True):
    user: str = "nobody"
    limit = 10

    @per_request
    def made(self) -> int:
        return 1


def test_a_field_that_can_be_assigned_passes(ctx: Ctx) -> None:
    for context, name in [(ctx, "user"), (ctx, "anything"), (StrictCtx(), "user"), (StrictCtx(), "made")]:
        check_field(context, name)


@pytest.mark.parametrize(
    ("context", "name", "text"),
    [
        (Ctx, "get", "is a method and can't be assigned"),
        (Ctx, "__dict__", "is no plain value"),
        (StrictCtx, "usr", "is strict and declares no 'usr': did you mean 'user'?"),
        (StrictCtx, "limit", "is no field"),
    ],
)
def test_one_that_can_not_is_refused_before_any_request(context: type[RequestContext], name: str, text: str) -> None:
    with pytest.raises(AttributeError, match=text):
        check_field(context(), name)


# Counting


def test_a_count_goes_up_by_one_from_any_thread() -> None:
    count = Count()
    assert count.total == 0
    count.add()
    in_thread(count.add)
    assert count.total == 2


def test_scopes_are_the_same_by_both_names() -> None:
    assert lowlevel.Scope is tlctx.Scope
