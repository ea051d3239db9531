"""What an editor knows of `tlctx.threads`: a call takes what the function takes, and gives what it gives."""

from __future__ import annotations

from concurrent.futures import Future
from typing import assert_type

from tlctx import RequestContext, Scope
from tlctx.sqlalchemy import request_token
from tlctx.threads import Snapshot, Thread, ThreadPoolExecutor, Timer, snapshot, wrap


class Ctx(RequestContext, not_copied=["user"]):
    user: str = "nobody"


def job(number: int, *, name: str) -> bytes:
    return f"{number} {name}".encode()


ctx = Ctx()
pool = ThreadPoolExecutor(2, contexts=[ctx], contextvars=True)
assert_type(pool.submit(job, 1, name="a"), Future[bytes])
pool.submit(job, "1", name="a")  # type: ignore[arg-type]
pool.submit(job, 1)  # type: ignore[call-arg]
for number in pool.map(len, ["a"], timeout=1):
    assert_type(number, int)

taken = snapshot(ctx)
assert_type(taken, Snapshot)
assert_type(taken.run(job, 1, name="a"), bytes)
taken.run(job, 1, nmae="a")  # type: ignore[call-arg]
assert_type(taken.scope(), Scope)
wrapped = wrap(job, ctx, contextvars=True)
assert_type(wrapped(1, name="a"), bytes)
wrapped("1", name="a")  # type: ignore[arg-type]
assert_type(taken.wrap(job)(1, name="a"), bytes)

Thread(target=job, args=(1,), kwargs={"name": "a"}, daemon=True, contexts=[ctx]).start()
Timer(1.0, job, (1,), {"name": "a"}, contexts=[ctx]).cancel()
assert_type(request_token(ctx)(), int)
