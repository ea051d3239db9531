"""The table of ASGI servers: how each is started as a process, with one event loop."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from servers.server_table import Server

if TYPE_CHECKING:
    from collections.abc import Callable

APP = "servers.asgi_app:application"


def uvicorn(*options: str, app: str = APP) -> Callable[[int], list[str]]:
    return lambda port: [
        sys.executable, "-m", "uvicorn", f"--port={port}", "--log-level=warning", "--timeout-graceful-shutdown=5",
        "--timeout-keep-alive=60", *options, app,
    ]  # fmt: skip


def hypercorn(worker: str) -> Callable[[int], list[str]]:
    return lambda port: [
        sys.executable, "-m", "hypercorn", f"--bind=127.0.0.1:{port}", f"--worker-class={worker}",
        "--access-logfile=/dev/null", "--error-logfile=-", "--graceful-timeout=5", APP,
    ]  # fmt: skip


UVICORN = Server("uvicorn-asgi", uvicorn("--loop=asyncio", "--http=h11"), "uvicorn", graceful=True)
HYPERCORN = Server("hypercorn-asgi", hypercorn("asyncio"), "hypercorn")
SERVERS = [
    UVICORN,
    replace(UVICORN, name="uvicorn-asgi-uvloop", command=uvicorn("--loop=uvloop", "--http=httptools")),
    HYPERCORN,
    replace(HYPERCORN, name="hypercorn-asgi-trio", command=hypercorn("trio")),
]
