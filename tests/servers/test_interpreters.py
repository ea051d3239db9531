"""Several interpreters in one process, on the same threads: each has its own tlctx, and sees nothing of another's."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from servers.client import PATIENCE
from servers.running import Running, serving, until
from servers.server_table import SERVERS

pytestmark = pytest.mark.servers

(MOD_WSGI,) = [server for server in SERVERS if server.name == "mod_wsgi"]
SCRIPT = """
import json, os, threading, time
from pathlib import Path
import tlctx
from tlctx import ContextMiddleware, ctx, local

seen = local()
FLAG = Path("go-on")

def serve(environ, start_response):
    if environ["PATH_INFO"] == "/start_afresh":
        start_response("204 No Content", [])
        return []
    start_response("200 OK", [])
    before = [*ctx, *vars(seen)]
    ctx.user = seen.user = environ["QUERY_STRING"]
    if environ["PATH_INFO"] == "/wait":
        FLAG.with_name("waits").touch()
        deadline = time.monotonic() + 60
        while not FLAG.exists() and time.monotonic() < deadline:
            time.sleep(0.005)
    return body(before)

def body(before):
    found = {
        "before": before, "user": ctx.user, "seen": seen.user, "implementation": tlctx.IMPLEMENTATION,
        "interpreter": id(tlctx.ContextMiddleware), "process": os.getpid(), "thread": threading.get_native_id(),
    }
    vars(seen).clear()
    yield json.dumps(found).encode()

application = ContextMiddleware(serve, ctx)
"""
THREADS = 2
OWN_GIL = sys.version_info >= (3, 12)


@pytest.fixture(
    scope="module",
    params=[("", "shared"), ("1", "shared"), *([("", "own"), ("1", "own")] if OWN_GIL else [])],
    ids=lambda param: f"{'python' if param[0] else 'c'}-{param[1]}-gil",
)
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    MOD_WSGI.check_installed()
    pure, gil = request.param
    script = tmp_path_factory.mktemp("interpreters") / "script.wsgi"
    script.write_text(SCRIPT)
    options = (
        f"script={script}",
        "/one=one",
        "/two=two",
        *(["own-gil=On"] if gil == "own" else []),
        f"threads={THREADS}",
    )
    with serving(MOD_WSGI, "tlctx", *options, TLCTX_PURE_PYTHON=pure) as running:
        yield running


def ask(running: Running, path: str) -> dict[str, Any]:
    with running.connect() as connection:
        answer = connection.ask(path, close=True)
    assert answer.status == 200, running.log[-2000:]
    return dict(json.loads(answer.body))


USERS = {"/": "ann", "/one/": "bob", "/two/": "eve"}
"""Who asks each interpreter: the main one, and two others."""


def test_each_interpreter_serves_its_own_values_in_the_same_process(running: Running) -> None:
    answers = [(user, ask(running, f"{path}?{user}")) for path, user in [*USERS.items()] * 4]
    for user, answer in answers:
        assert (answer["before"], answer["user"], answer["seen"]) == ([], user, user)
        assert answer["implementation"] == ("python" if running.environment["TLCTX_PURE_PYTHON"] else "c")
    assert len({answer["interpreter"] for _, answer in answers}) == len(USERS)
    assert len({answer["process"] for _, answer in answers}) == 1
    assert len({answer["thread"] for _, answer in answers}) <= THREADS < len(answers)


def test_a_request_keeps_its_values_while_other_interpreters_serve(running: Running) -> None:
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ask, running, "/one/wait?dan")
        assert until((running.directory / "waits").exists, PATIENCE)
        others = {user: ask(running, f"{path}?{user}") for path, user in USERS.items()}
        (running.directory / "go-on").touch()
        answer = waiting.result(PATIENCE)
    assert answer["user"] == answer["seen"] == "dan"
    assert answer["interpreter"] == others["bob"]["interpreter"]
    assert [answer["user"] for answer in others.values()] == list(others)
    assert all(answer["before"] == [] for answer in others.values())
