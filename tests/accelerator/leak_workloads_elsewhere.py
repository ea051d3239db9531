"""More of such work: scopes that are attached, and copies of requests. With it, `WORKLOADS` is complete."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from accelerator import leak_workloads
from accelerator.leak_workloads import ctx, fail, kept, refused, strict

from tlctx import Scope
from tlctx._core.attached import attached_scopes
from tlctx._core.implementation import attach, attach_plainly, attached_namespace, detach, namespace_of
from tlctx.lowlevel import ScopeCopy, copy_scope

if TYPE_CHECKING:
    from collections.abc import Callable


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
    assert attach_plainly(second)
    with ctx.scope():
        assert not attach_plainly(second)
    detach(second)
    second.close()
    assert not attach_plainly(second)
    refused(attach, 5)
    refused(attach_plainly, 5)
    token = attached_scopes.set([])  # type: ignore[arg-type]
    refused(getattr, ctx, "user")
    refused(attach, first)
    attached_scopes.reset(token)
    running = asyncio.new_event_loop()
    running.run_until_complete(in_a_coroutine())
    running.close()


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
    "copies": copies,
}
