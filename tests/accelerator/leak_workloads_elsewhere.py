"""More of such work: scopes that are attached, and copies of requests. With it, `WORKLOADS` is complete."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from accelerator import leak_workloads
from accelerator.leak_workloads import ctx, fail, kept, refused, strict

from tlctx import Scope
from tlctx._core.attached import attached_scopes
from tlctx._core.implementation import attach, attached_namespace, detach, namespace_of
from tlctx.lowlevel import DetachedCall, ScopeCopy, copy_scope

if TYPE_CHECKING:
    from collections.abc import Callable, Generator


async def in_a_coroutine() -> None:
    with ctx.scope(user="ann"), strict.scope():
        assert (ctx.user, ctx.made, ctx.get("user")) == ("ann", [1], "ann")
        strict.user = ctx.user = "bob"
        del ctx.user
        refused(getattr, ctx, "mising")
        refused(setattr, strict, "other", 1)
    refused(getattr, ctx, "user")


def attached() -> None:
    first, second = Scope(ctx), Scope(ctx)
    for scope in (first, second, first):
        attach(scope)
    assert namespace_of(ctx) is attached_namespace(ctx) is first.namespace
    first.close()
    refused(getattr, ctx, "user")
    assert [scope for scope, _ in detach(second)] == [first, second]
    second.attach()
    detach(second)
    with ctx.scope():
        refused(second.attach)
    second.close()
    refused(second.attach)
    refused(attach, 5)
    token = attached_scopes.set([])  # type: ignore[arg-type]
    refused(getattr, ctx, "user")
    refused(attach, first)
    attached_scopes.reset(token)
    running = asyncio.new_event_loop()
    running.run_until_complete(in_a_coroutine())
    running.close()


class Steps:
    """An awaitable of one step."""

    def __await__(self) -> Generator[str]:
        yield "a step"


def detached_calls() -> None:
    begin: Any = fail
    scope = Scope(ctx)
    scope.attach()
    send: Any = DetachedCall(scope, lambda *_: Steps(), ("type", "head"), "more", begin, frozenset(["body"]))
    for message in ({"type": "head"}, {"more": True}):
        assert type(send(message)) is Steps
    arguments: list[tuple[Any, ...]] = [(), ({},)]
    for argument in arguments:
        coroutine = send(*argument)
        assert coroutine.send(None) == "a step"
        refused(coroutine.send, None)
        refused(coroutine.send, None)
    for refuse in (ValueError, ValueError(1)):
        coroutine = send()
        coroutine.send(None)
        refused(coroutine.throw, refuse)
        refused(send().throw, refuse)
    coroutine = send()
    coroutine.send(None)
    coroutine.close()
    send().close()
    scope.closes_early = True
    refused(send, {"type": "head"})
    refused(send, 5)
    refused(send, 1, 2)
    refused(DetachedCall, 5, fail)
    refused(DetachedCall, scope, fail, 5, "more", fail, frozenset())
    refused(send, {"type": []})
    wrong: Any
    for wrong in (fail, lambda: 5):
        call: Any = DetachedCall(scope, wrong)
        refused(call().send, None)
    cycle: Any = DetachedCall(scope, Steps)
    vars(ctx)["cycle"] = cycle()
    vars(ctx)["cycle"].send(None)
    detach(scope)
    scope.close()


def copies() -> None:
    refused(ScopeCopy.take, 5)
    refused(ScopeCopy, kept, 5, {})
    assert ScopeCopy.take(ctx) is None
    with ctx.scope(user="ann") as scope, strict.scope():
        taken = [copy_scope(ctx) for _ in range(3)]
        ctx.user = "bob"
        taken += [copy_scope(ctx), copy_scope(ctx)]
        vars(ctx)["cycle"] = taken[-1]
        taken.append(copy_scope(ctx))
        assert ctx.made == [1]
        taken += [copy_scope(ctx), copy_scope(strict)]
        assert taken[0].run(lambda *args, **kwargs: (ctx.user, args, kwargs), 1, key=2) == ("ann", (1,), {"key": 2})
        del scope
    for copied in taken:
        refused(copied.run)
        refused(copied.run, fail)
        with copied.open():
            assert copied.run(lambda: ctx.get("made", None)) is None


WORKLOADS: dict[str, Callable[[], object]] = {
    **leak_workloads.WORKLOADS,
    "attached scopes": attached,
    "detached calls": detached_calls,
    "copies": copies,
}
