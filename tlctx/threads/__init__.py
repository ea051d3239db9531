"""A request's values in threads that it starts: snapshots, and an executor, a thread and a timer that take them.

    from tlctx.threads import ThreadPoolExecutor

    pool = ThreadPoolExecutor(8, contexts=[ctx])

    def view():
        return pool.submit(render, "report").result()  # in render, ctx.user is what it is here

Each job runs in a scope of its own, which begins with a shallow copy of the values that the request has assigned. What
`per_request` makes is made anew there, so no two threads share a database session. `tlctx.threads.gevent` has the same
for greenlets.
"""

from __future__ import annotations

from tlctx.threads._executor import ThreadPoolExecutor
from tlctx.threads._snapshot import Snapshot, snapshot, wrap
from tlctx.threads._thread import Thread, Timer

__all__ = ["Snapshot", "Thread", "ThreadPoolExecutor", "Timer", "snapshot", "wrap"]
