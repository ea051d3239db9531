"""What several test files need: threads of both kinds, programs of their own, errors, and objects that do one thing."""

from __future__ import annotations

import _thread
import os
import subprocess
import sys
import textwrap
import threading
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

PATIENCE = 60.0
"""Seconds after which whatever a test waits for is taken to have failed."""


def in_thread(function: Callable[[], T]) -> T:
    """What `function` returns, or raises, when a new thread calls it; the thread has ended when this returns."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append((True, function()))
        except BaseException as error:
            outcome.append((False, error))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive(), "the thread hangs"
    succeeded, value = outcome.pop()
    if succeeded:
        return value  # type: ignore[no-any-return]
    raise value


def in_foreign_thread(function: Callable[[], T]) -> T:
    """The same on a thread that `threading` did not start and does not know."""
    outcome: list[T] = []
    done = threading.Event()

    class LastThing:
        def __del__(self) -> None:
            done.set()

    storage = threading.local()

    def run() -> None:
        sys.settrace(threading.gettrace())  # so that coverage sees this thread too
        storage.last = LastThing()  # goes with the thread's state, after everything else the thread stored
        outcome.append(function())

    _thread.start_new_thread(run, ())
    assert done.wait(PATIENCE), "the foreign thread hangs"
    return outcome.pop()


def missing(part: str) -> NoReturn:
    """End a test that can't find the part it needs: as a failure in CI, which has to have it, else as skipped."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI lacks {part}")
    pytest.skip(f"needs {part}")


def missing_accelerator() -> NoReturn:
    """End a test that needs the C accelerator, which is not there: CI has to have it unless it asks for none."""
    if os.environ.get("TLCTX_PURE_PYTHON", "") not in ("", "0"):
        pytest.skip("TLCTX_PURE_PYTHON asks for the pure-Python implementation")
    missing("the C accelerator")


def run_program(source: str, *arguments: str, **environment: str) -> str:
    """What a new interpreter prints that runs `source`. Fails the test if it fails, or writes to stderr."""
    program = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(source), *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (program.returncode, program.stderr) == (0, ""), program.stderr
    return program.stdout


class OnlySets:
    def __set__(self, instance: Any, value: Any) -> None:
        vars(instance)["set_through"] = value


class OnlyDeletes:
    def __delete__(self, instance: Any) -> None:
        vars(instance)["deleted_through"] = True


class Sharing:
    """Any object, whose attributes are somebody else's dict."""


class Payload:
    """Something that can be watched while it dies."""


class Boom(Exception):
    """What code under test raises."""


class Timeout(Exception):
    """What a signal handler raises."""


def raising(error: BaseException) -> NoReturn:
    raise error


def raise_boom(*_: Any) -> NoReturn:
    raise Boom


def start_nothing(*_: Any) -> Any:
    """A `start_response` whose caller nobody answers."""


def dicts_of(instance: Any) -> dict[int, Any]:
    """The map of a `local`, from a thread's id to a reference to it and its dict."""
    return instance._local__impl.dicts  # type: ignore[no-any-return]
