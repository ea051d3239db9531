"""Celery: real workers with each kind of pool, on a real Redis, which is read too; one of them is killed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("celery", reason="needs Celery")

from celery import chain, chord, group
from support.celery_tasks import app, configure, ctx, failing_commit, finish, flaky, killed, look, meet, slow, wait
from support.celery_tasks import redis as client
from support.helpers import PATIENCE, Boom
from support.processes import stopping
from support.redis import recorded, redis_server

TESTS = Path(__file__).parent.parent.parent
POOLS = ("prefork", "threads", "gevent")

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]  # workers take their time to start, and to stop


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with redis_server() as port:
        yield port


@pytest.fixture(autouse=True)
def _empty(port: int) -> Iterator[None]:
    configure(f"redis://127.0.0.1:{port}/0")
    client().flushdb()
    yield
    app.close()
    client().close()


@contextlib.contextmanager
def worker(port: int, pool: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A worker with room for two tasks at once, from when it answers."""
    variables = {"CELERY_TESTS_URL": f"redis://127.0.0.1:{port}/0", "PYTHONWARNINGS": "default", **environment}
    command = ["-m", "celery", "-A", "support.celery_tasks", "worker", f"--pool={pool}", "--concurrency=2"]
    quiet = ["--loglevel=critical", "--without-gossip", "--without-mingle", "--without-heartbeat"]
    process = subprocess.Popen([sys.executable, *command, *quiet], cwd=TESTS, env={**os.environ, **variables})
    with stopping(process):
        look.delay().get(timeout=2 * PATIENCE)
        assert process.poll() is None
        yield process


@pytest.fixture(scope="class", params=POOLS)
def pool(request: pytest.FixtureRequest, port: int) -> Iterator[str]:
    """The kind of pool of a worker that runs."""
    configure(f"redis://127.0.0.1:{port}/0")
    with worker(port, request.param):
        yield request.param


def results_of(*results: Any) -> list[Any]:
    return [result.get(timeout=PATIENCE) for result in results]


def noted(name: str) -> list[str]:
    found: list[str] = client().lrange(name, 0, -1)
    return found


class TestEachPool:
    def test_tasks_that_run_at_the_same_time_each_see_their_own(self, pool: str) -> None:
        names = [f"user {number}" for number in range(20)]
        pairs = [*zip(names[::2], names[1::2], strict=True)]
        sent = []
        for pair in pairs:
            for me, other in (pair, pair[::-1]):
                with ctx.scope(user=me, secret="SESAME"):
                    sent.append(meet.delay(other))
        expected = [[me, other, me, "none"] for pair in pairs for me, other in (pair, pair[::-1])]
        found = results_of(*sent)
        assert [each[:4] for each in found] == expected
        assert sorted(noted("ended")) == sorted(names)

    def test_whatever_a_sender_composes_each_task_has_the_senders_values(self, pool: str) -> None:
        expected = ["ann", [1], "none"]
        with ctx.scope(user="ann", tags=[1], secret="SESAME"):
            chained = chain(look.s(), look.s(), look.s()).delay()
            grouped = group(look.s(), look.s()).delay()
            chorded = chord([look.s(), look.s()], look.s()).delay()
            by_name = app.send_task("look")
        assert results_of(chained, chained.parent, grouped, chorded, by_name) == [
            expected, expected, [expected, expected], expected, expected,
        ]  # fmt: skip

    def test_each_try_begins_with_the_first_values(self, pool: str) -> None:
        with ctx.scope(user="ann"):
            assert flaky.delay().get(timeout=PATIENCE) == ["ann", None]
        assert noted("tries") == ["0 ann", "1 ann", "2 ann"]
        # A try sends the next one before it ends itself, so the next one may end first.
        assert sorted(wait("told") for _ in range(3)) == ["ann Retry", "ann Retry", "ann done"]

    def test_the_end_comes_before_the_result(self, pool: str) -> None:
        with ctx.scope():
            assert finish.delay().get(timeout=PATIENCE) == "a result"
        assert noted("stored") == ["0"]

    def test_what_the_teardown_raises_fails_the_task(self, pool: str) -> None:
        result = failing_commit.apply_async(link=flaky.s())
        with pytest.raises(Boom):
            result.get(timeout=PATIENCE)
        assert look.delay().get(timeout=PATIENCE) == ["nobody", None, "none"]
        assert noted("tries") == []

    def test_nothing_that_was_not_allowed_is_in_redis_or_on_the_way_there(self, port: int, pool: str) -> None:
        with recorded(port) as commands, ctx.scope(user="ann of the wire", secret="SESAME", undeclared="SESAME"):
            ctx.work.append("SESAME")
            sent = [look.delay(), chain(look.s(), look.s()).delay(), group(look.s(), look.s()).delay(), flaky.delay()]
            sent += [chord([look.s()], look.s()).delay(), app.send_task("look"), look.apply_async(link=look.s())]
            results_of(*sent)
        wire = b"".join(commands)
        assert wire.count(b"ann of the wire") > 10
        assert b"SESAME" not in wire
        assert b"undeclared" not in wire


def test_nothing_that_was_not_allowed_lies_in_redis_until_a_worker_comes(port: int) -> None:
    with ctx.scope(user="ann", secret="SESAME", undeclared="SESAME"):
        look.delay()
        chain(look.s(), look.s()).apply_async(countdown=60)
    messages = [json.loads(message) for message in client().lrange("celery", 0, -1)]
    assert [message["headers"]["tlctx.ctx"] for message in messages] == ['{"user":"ann"}'] * 2
    lies_there = "".join(map(repr, messages)) + "".join(map(str, client().keys("*")))
    assert "SESAME" not in lies_there


class TestPrefork:
    def test_a_time_limit_is_told_to_the_teardown(self, port: int) -> None:
        with worker(port, "prefork"):
            with ctx.scope(user="ann"):
                result = slow.delay()
            with pytest.raises(Exception, match="SoftTimeLimitExceeded"):
                result.get(timeout=PATIENCE)
            assert noted("told") == ["ann SoftTimeLimitExceeded"]
            assert look.delay().get(timeout=PATIENCE) == ["nobody", None, "none"]

    def test_a_task_whose_process_is_killed_runs_again_with_its_values(self, port: int) -> None:
        with worker(port, "prefork"):
            with ctx.scope(user="ann", tags=[1]):
                result = killed.delay()
            pid, rest = client().blpop("runs", timeout=PATIENCE)[1].split(" ", 1)
            client().rpush("runs", "the first")
            os.kill(int(pid), signal.SIGKILL)
            assert result.get(timeout=PATIENCE) == ["ann", [1]]
            assert rest == "ann [1]"
            (first, second) = noted("runs")
            assert (first, second.split(" ", 1)[1]) == ("the first", "ann [1]")
            assert noted("told") == ["ann done"]


def test_a_task_whose_worker_is_killed_runs_again_in_another_with_its_values(port: int) -> None:
    with worker(port, "threads") as process:
        with ctx.scope(user="ann", tags=[1]):
            result = killed.delay()
        assert wait("runs").endswith("ann [1]")
        client().rpush("runs", "the first")
        process.send_signal(signal.SIGKILL)
        process.wait(PATIENCE)
    # This worker takes over a message that another one has had for two seconds.
    with worker(port, "threads", CELERY_TESTS_VISIBILITY="2"):
        assert result.get(timeout=PATIENCE) == ["ann", [1]]
    # Where that time is this short, a message may be delivered once more while the task runs.
    first, *again = noted("runs")
    assert first == "the first"
    assert again
    assert [run for run in again if not run.endswith("ann [1]")] == []
    assert set(noted("told")) == {"ann done"}
