"""The fork servers, one for each job that runs at a time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Self

from mutation.mutants import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM = "import sys; sys.path.insert(0, 'tests'); from mutation.server import main; main()"
ENVIRONMENT = {"TLCTX_PURE_PYTHON": "1", "PYTHONHASHSEED": "0", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


class Server:
    """A running fork server."""

    def __init__(self) -> None:
        environment = {name: value for name, value in os.environ.items() if name != "CI"} | ENVIRONMENT
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM], cwd=ROOT, env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def run(self, **job: Any) -> dict[str, Any]:
        """How the job ended: its `status`, and the `seconds` that it took."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError("the fork server has gone")
        return dict(json.loads(answer))

    def stop(self) -> None:
        """End it, after the job that it runs."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


class Pool:
    """Servers to borrow."""

    def __init__(self, count: int) -> None:
        self.jobs = count
        self._servers = [Server() for _ in range(count)]
        self._free: SimpleQueue[Server] = SimpleQueue()
        for server in self._servers:
            self._free.put(server)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_details: object) -> None:
        for server in self._servers:
            server.stop()

    @contextmanager
    def server(self) -> Iterator[Server]:
        """One that nobody else uses meanwhile."""
        server = self._free.get()
        try:
            yield server
        finally:
            self._free.put(server)
