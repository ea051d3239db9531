"""The processes of all machines, by way of Redis.

Each process writes what it serves, under a key of its own with a time to live, and its name into a set. A dead process
stops writing, and its key goes. The thread that writes waits between two times at a list, so that others can ask it
where a request stands: nothing of a stack is in Redis before somebody asks. While nobody looks, it writes the open
requests alone.

Whatever is read may be anybody's: it is cut by Redis before it is sent, and checked. redis-py is imported here alone.
"""

from __future__ import annotations

import re
import secrets
import time
from typing import TYPE_CHECKING, Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tlctx.inspector._merge import aged
from tlctx.inspector._native import sleep, start_thread
from tlctx.inspector._texts import shown
from tlctx.inspector._wire import MOST_BYTES, frames_from, view_from

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from tlctx.inspector._model import Frame, View

__all__ = ["Machines"]

EVERY = 2.0
"""Seconds between two times that a process writes what it serves."""
TIME_TO_LIVE = 7.0
_WATCHED = 10
_PATIENCE = 1.5  # of who looks, for Redis
_STACK_PATIENCE = 3
_MOST_PROCESSES = 300
_MOST_BYTES_IN_ALL = 30_000_000
_AT_ONCE = 10
_MOST_QUESTIONS = 20  # that a process answers between two times
_QUESTION = re.compile(rb"(stack [0-9]{1,19}) ([0-9a-f]{32})")
_NAME = re.compile(r"[!-~]{1,200}:[0-9]{1,10}")


class Machines:
    """Writes into Redis what this process serves, and reads what the others do."""

    def __init__(self, address: str, prefix: str, respond: Callable[[bytes], bytes]) -> None:
        self._writer = _client(address, EVERY + 3)
        self._reader = _client(address, _PATIENCE)
        self._prefix = prefix
        self._respond = respond
        self._running: object = None
        self.where = _where(self._writer)
        self.trouble: str | None = None

    def start(self, name: str) -> None:
        """Write, under this name, from a thread."""
        self._running = run = object()
        start_thread(lambda: self._run(name, run))

    def close(self) -> None:
        """Write no more."""
        self._running = None

    def _run(self, name: str, run: object) -> None:
        while self._running is run:
            try:
                self._write(name)
                self.trouble = None
                self._answer_until(name, time.monotonic() + EVERY)
            except Exception as error:  # noqa: BLE001  # whatever a client of Redis raises, it is tried again
                self.trouble = f"Redis at {self.where} can't be reached: {shown(type(error).__name__, 50)}"
                sleep(EVERY)

    def _write(self, name: str) -> None:
        watched = self._writer.exists(f"{self._prefix}:watched")
        data = self._respond(b"requests" if watched else b"open")
        with self._writer.pipeline(transaction=False) as pipe:
            pipe.set(f"{self._prefix}:view:{name}", data, px=int(TIME_TO_LIVE * 1000))
            pipe.sadd(f"{self._prefix}:processes", name)
            pipe.expire(f"{self._prefix}:processes", 3600)
            pipe.execute()

    def _answer_until(self, name: str, then: float) -> None:
        """Answer what is asked, for so long."""
        key = f"{self._prefix}:ask:{name}"
        for _ in range(_MOST_QUESTIONS):
            left = then - time.monotonic()
            if left < 0.01:
                return
            found: Any = self._writer.blpop([key], timeout=left)
            if found is None:
                return
            match = _QUESTION.fullmatch(found[1])
            if match is not None:
                answer = f"{self._prefix}:answer:{match[2].decode()}"
                self._writer.rpush(answer, self._respond(match[1]))
                self._writer.expire(answer, 10)
        sleep(max(0.0, then - time.monotonic()))

    def views(self, known: Collection[str]) -> tuple[list[View], list[str]]:
        """What the processes serve whose names are not `known`; and what is wrong."""
        if self.trouble is not None:  # the thread that writes finds out when it is over
            return [], [self.trouble]
        views: list[View] = []
        trouble: list[str] = []
        try:
            names = self._names(trouble)
            for name, data, seen in self._read([name for name in names if name not in known], trouble):
                try:
                    view = view_from(data)
                    if view.processes[0].id != name:
                        raise ValueError("it speaks for another one")
                except ValueError as error:
                    trouble.append(f"what Redis has of process {name} can't be read: {shown(str(error), 100)}")
                    continue
                views.append(aged(view, seen))
        except (redis.RedisError, OSError) as error:
            trouble.append(f"Redis at {self.where} can't be reached: {shown(type(error).__name__, 50)}")
        return views, trouble

    def _names(self, trouble: list[str]) -> list[str]:
        key = f"{self._prefix}:processes"
        self._reader.set(f"{self._prefix}:watched", b"1", ex=_WATCHED)
        found: Any = self._reader.srandmember(key, _MOST_PROCESSES + 1)
        if len(found) > _MOST_PROCESSES:
            trouble.append(f"Redis has more than {_MOST_PROCESSES} processes: not all are shown")
        names = [name.decode("latin-1") for name in found[:_MOST_PROCESSES]]
        return [name for name in names if _NAME.fullmatch(name)]

    def _read(self, names: list[str], trouble: list[str]) -> list[tuple[str, bytes, float]]:
        """Name, data, and age in seconds, of those that live."""
        read, dead, size = [], [], 0
        for start in range(0, len(names), _AT_ONCE):
            some = names[start : start + _AT_ONCE]
            with self._reader.pipeline(transaction=False) as pipe:
                for name in some:
                    pipe.getrange(f"{self._prefix}:view:{name}", 0, MOST_BYTES - 1)
                    pipe.pttl(f"{self._prefix}:view:{name}")
                found = pipe.execute(raise_on_error=False)
            for name, data, left in zip(some, found[::2], found[1::2], strict=True):
                if left == -2:
                    dead.append(name)
                elif isinstance(data, bytes) and isinstance(left, int):
                    read.append((name, data, min(TIME_TO_LIVE, max(0.0, TIME_TO_LIVE - left / 1000))))
                    size += len(data)
                else:
                    trouble.append(f"what Redis has of process {name} can't be read")
            if size > _MOST_BYTES_IN_ALL:
                trouble.append("Redis has more than can be shown: not all processes are")
                break
        if dead:
            self._reader.srem(f"{self._prefix}:processes", *dead)
        return read

    def stack(self, name: str, serial: int) -> list[Frame] | None:
        """The frames of a request of the process of this name; None if it is over.

        Raises TimeoutError if the process gives no proper answer.
        """
        try:
            if not _NAME.fullmatch(name) or not self._reader.exists(f"{self._prefix}:view:{name}"):
                return None
            key, token = f"{self._prefix}:ask:{name}", secrets.token_hex(16)
            with self._reader.pipeline(transaction=False) as pipe:
                pipe.rpush(key, f"stack {serial} {token}")
                pipe.expire(key, 10)
                pipe.execute()
            answer = self._wait_for(f"{self._prefix}:answer:{token}")
            return frames_from(answer)
        except (redis.RedisError, OSError, ValueError):
            raise TimeoutError(f"process {name} does not answer") from None

    def _wait_for(self, key: str) -> bytes:
        then = time.monotonic() + _STACK_PATIENCE
        while (left := then - time.monotonic()) > 0:
            found: Any = self._reader.blpop([key], timeout=min(1.0, max(0.01, left)))
            if found is not None:
                return bytes(found[1][:MOST_BYTES])
        raise TimeoutError


def _client(address: str, patience: float) -> redis.Redis:
    return redis.Redis.from_url(
        address,
        socket_timeout=patience,
        socket_connect_timeout=_PATIENCE,
        retry=Retry(NoBackoff(), 0),
        decode_responses=False,
    )


def _where(client: redis.Redis) -> str:
    """Host and port, or path, without the password that an address may have."""
    settings = client.connection_pool.connection_kwargs
    place = settings.get("path") or f"{settings.get('host', 'localhost')}:{settings.get('port', 6379)}"
    return shown(str(place), 200)
