"""The view of several machines, when others write what they like into the Redis that these share."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from support.helpers import PATIENCE
from support.inspecting import Answer, Ctx, inspecting
from support.redis import redis_server

pytest.importorskip("redis", reason="needs redis")

import redis

from tlctx.inspector import _redis

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tlctx.inspector import Inspector

pytestmark = pytest.mark.servers
NAME = "web-9:77"
LIVES = 60_000  # milliseconds


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with redis_server() as port:
        yield port


@pytest.fixture
def client(port: int) -> Iterator[Any]:
    client = redis.Redis(port=port)
    client.flushall()
    yield client
    client.close()


@pytest.fixture
def inspector(port: int, client: Any) -> Iterator[Inspector]:
    with inspecting(Ctx(), redis=f"redis://:@127.0.0.1:{port}/0") as inspector:
        inspector.start()
        deadline = time.monotonic() + PATIENCE
        while not client.keys("*:view:*"):  # the thread that writes tells nobody
            assert time.monotonic() < deadline
        yield inspector


def put(inspector: Inspector, client: Any, data: bytes, name: str = NAME) -> None:
    """Have Redis hold this for a process of another machine."""
    prefix = inspector._machines._prefix  # type: ignore[union-attr]
    client.set(f"{prefix}:view:{name}", data, px=LIVES)
    client.sadd(f"{prefix}:processes", name)


def others(inspector: Inspector) -> list[str]:
    return [process["id"] for process in Answer(inspector).json["processes"] if process["host"] == "web-9"]


def view(**changes: Any) -> dict[str, Any]:
    """What a process of another machine writes."""
    counts = dict.fromkeys(("open", "begun", "failed", "dropped_bodies", "failed_teardowns"), 0)
    lists: dict[str, Any] = {name: [] for name in ("open", "recent", "slowest", "failed", "routes", "trouble")}
    process = {"id": NAME, "host": "web-9", "pid": 77, "seen": 0, "reached": True, **counts}
    return {"taken": 1.0, "processes": [process], "truncated": 0, **lists, **changes}


def request(**changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "serial": 1, "method": "GET", "path": "/", "label": "GET /", "route": None, "thread": {"id": 1, "name": "t"},
        "began": 1.0, "age": 1.0, "state": "running", "chunks": 0, "fields": [], "values": {}, "trace": None,
    }  # fmt: skip
    return made | changes


def test_what_another_process_writes_is_shown(inspector: Inspector, client: Any) -> None:
    put(inspector, client, json.dumps(view(open=[request(path="/there")])).encode())
    answer = Answer(inspector).json
    assert NAME in {process["id"] for process in answer["processes"]}
    assert [each["path"] for each in answer["open"]] == ["/there"]
    assert answer["trouble"] == []


GARBAGE = {
    "nothing": b"",
    "bytes": b"\xff\x00" * 1000,
    "deep": b"[" * 100_000,
    "nan": json.dumps(view(taken=float("nan"))).encode(),
    "a number of many digits": b'{"taken": ' + b"9" * 5000 + b"}",
    "lists that are none": json.dumps(view(open={"a": 1})).encode(),
    "requests that are none": json.dumps(view(open=[1, None])).encode(),
    "many requests": json.dumps(view(open=[request()] * 1001)).encode(),
    "long": b" " * 5_000_000,
    "another name": json.dumps(view(processes=[view()["processes"][0] | {"pid": 78}])).encode(),
    "two processes": json.dumps(view(processes=view()["processes"] * 2)).encode(),
    "a negative age": json.dumps(view(open=[request(age=-1)])).encode(),
    "an age without end": json.dumps(view(open=[request(age=1e300)])).encode(),
    "a thread that is none": json.dumps(view(open=[request(thread=[])])).encode(),
    "buckets that are none": json.dumps(
        view(routes=[{"name": "a", "count": 1, "failed": 0, "seconds": 1, "buckets": ["x"] * 12}])
    ).encode(),
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
def test_what_is_no_view_is_left_out_and_named(inspector: Inspector, client: Any, garbage: bytes) -> None:
    put(inspector, client, garbage)
    answer = Answer(inspector)
    assert answer.status == "200 OK"
    assert others(inspector) == []
    (trouble,) = answer.json["trouble"]
    assert trouble.startswith(f"what Redis has of process {NAME} can't be read")
    assert len(trouble) < 300


def test_texts_that_another_process_writes_are_short_and_printable(inspector: Inspector, client: Any) -> None:
    bad = "\x1b]0;owned\x07\u202e<script>" * 1000
    hostile = request(path=bad, method=bad, label=bad, route=bad, trace=bad, state=bad, fields=[bad], values={bad: bad},
                      thread={"id": 1, "name": bad})  # fmt: skip
    put(inspector, client, json.dumps(view(open=[hostile], trouble=[bad])).encode())
    answer = Answer(inspector).json
    (each,) = answer["open"]
    texts = [each[name] for name in ("path", "method", "label", "route", "trace", "state")]
    texts += [each["thread"]["name"], *each["fields"], *each["values"], *each["values"].values(), *answer["trouble"]]
    assert all(text.isprintable() and len(text) <= 500 for text in texts)


def test_keys_of_another_kind_are_left_out(inspector: Inspector, client: Any) -> None:
    prefix = inspector._machines._prefix  # type: ignore[union-attr]
    client.rpush(f"{prefix}:view:{NAME}", "a list")
    client.pexpire(f"{prefix}:view:{NAME}", LIVES)
    client.sadd(f"{prefix}:processes", NAME, "no name", b"\xff\xfe", "x" * 100_000, "a:b", "../../etc:1")
    answer = Answer(inspector).json
    assert answer["trouble"] == [f"what Redis has of process {NAME} can't be read"]
    client.delete(f"{prefix}:processes")
    client.set(f"{prefix}:processes", "no set")
    answer = Answer(inspector)
    assert answer.status == "200 OK"
    assert len(answer.json["trouble"]) == 1


def test_very_many_processes_are_not_all_shown(inspector: Inspector, client: Any) -> None:
    prefix = inspector._machines._prefix  # type: ignore[union-attr]
    with client.pipeline() as pipe:
        for pid in range(2000):
            process = view()["processes"][0] | {"pid": pid}
            pipe.set(f"{prefix}:view:web-9:{pid}", json.dumps(view(processes=[process])), px=LIVES)
            pipe.sadd(f"{prefix}:processes", f"web-9:{pid}")
        pipe.execute()
    answer = Answer(inspector).json
    assert len(answer["processes"]) <= _redis._MOST_PROCESSES + 1
    assert any("more than" in text for text in answer["trouble"])


def test_a_question_that_is_none_is_not_answered(inspector: Inspector, client: Any) -> None:
    prefix = inspector._machines._prefix  # type: ignore[union-attr]
    own = inspector.look().processes[0].id
    token = "0" * 32
    bad = ["", "x" * 100_000, f"stack 1 {token}x", f"open {token}", f"stack -1 {token}"]
    client.rpush(f"{prefix}:ask:{own}", *bad, f"stack 1 {token}")
    assert client.blpop([f"{prefix}:answer:{token}"], timeout=PATIENCE)[1] == b'{"frames":null}'
    assert client.keys("*:answer:*") == []
    assert inspector._machines.trouble is None  # type: ignore[union-attr]


def test_an_answer_that_is_none_is_as_good_as_none(
    inspector: Inspector, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = inspector._machines._prefix  # type: ignore[union-attr]
    put(inspector, client, json.dumps(view()).encode())
    monkeypatch.setattr("tlctx.inspector._redis.secrets.token_hex", lambda size: "1" * 32)
    client.rpush(f"{prefix}:answer:{'1' * 32}", b'{"frames": [{"file": 1}]}')
    with pytest.raises(TimeoutError):
        inspector.stack(f"{NAME}:1")
