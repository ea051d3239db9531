"""A watchdog that names requests which take too long, and hooks for `gunicorn.conf.py`.

    from tlctx.gunicorn import post_worker_init, worker_abort, worker_exit

In a `gunicorn.conf.py` this line is all: each worker starts a watchdog, an aborted worker says what its threads served,
and a worker that exits says what it left unfinished. A hook of your own calls ours. None of them raises.

The watchdog needs no gunicorn: `watch(after=10)` starts it in any process.
"""

from __future__ import annotations

from tlctx.gunicorn._hooks import post_worker_init, worker_abort, worker_exit
from tlctx.gunicorn._watchdog import Overdue, Watchdog, overdue, watch

__all__ = ["Overdue", "Watchdog", "overdue", "post_worker_init", "watch", "worker_abort", "worker_exit"]
