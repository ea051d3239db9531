"""Threads that run one job after another."""

from __future__ import annotations

import _thread
import queue
import threading
from typing import TYPE_CHECKING, Any

from support.helpers import PATIENCE

from tlctx._core.threads import current_record

if TYPE_CHECKING:
    from collections.abc import Callable


class SetAtTheEnd:
    """Sets the event when its holder is freed."""

    def __init__(self, event: threading.Event) -> None:
        self.event = event

    def __del__(self) -> None:
        self.event.set()


class JobThread:
    """A thread that does one thing at a time for whoever waits for it; a foreign one `threading` does not know."""

    def __init__(self, name: str = "job thread", *, foreign: bool = False) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], Any] | None] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._gone = threading.Event()
        self._storage = threading.local()
        self._thread = None if foreign else threading.Thread(target=self._serve, name=name, daemon=True)
        if self._thread is None:
            _thread.start_new_thread(self._serve, ())
        else:
            self._thread.start()
        self.ident = 0
        self.ident, self.key = self.run(lambda: (threading.get_ident(), current_record().key))

    def _serve(self) -> None:
        for job in iter(self._jobs.get, None):
            self._results.put(job())
            del job  # or it would keep what it refers to
        self._storage.last = SetAtTheEnd(self._gone)

    def run(self, job: Callable[[], Any]) -> Any:
        """What `job()`, which never raises, returns on this thread."""
        if threading.get_ident() == self.ident:
            return job()
        self._jobs.put(job)
        return self._results.get(timeout=PATIENCE)

    def end(self) -> None:
        """Return when the thread has ended, and what it stored is gone: no other may get the GIL in between."""
        self._jobs.put(None)
        assert self._gone.wait(PATIENCE), "the thread hangs"
        if self._thread is not None:
            self._thread.join(PATIENCE)
            assert not self._thread.is_alive(), "the thread hangs"
