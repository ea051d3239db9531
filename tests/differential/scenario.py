"""A scenario: commands that a process performs on one implementation, and its report on each.

A command is a list of a name and arguments. The report uses words that are the same in every process.
"""

from __future__ import annotations

import asyncio
import gc
import re
import weakref
from typing import TYPE_CHECKING, Any

from differential.application import Ctx, Token, WithInit
from differential.errors import seen_before
from differential.threads import JobThread

from tlctx import RequestContext, Scope
from tlctx._core.context import AnyContext
from tlctx._core.flows import in_coroutine

if TYPE_CHECKING:
    from differential.requests import Answered

PARTS = ("scopes", "displaced", "kept", "bodies", "iterators")
"""The attributes of a scenario whose items later commands use by number."""

DEEPEST = 10
MOST = 100
"""How many commands one command may perform, and how deeply nested: bodies may close each other in a circle."""


class Scenario:
    """The state that the commands work on, in this process."""

    def __init__(self) -> None:
        Ctx.scenario = self
        self.journal: list[Any] = []
        self.failure: str | None = None
        self.watched: list[weakref.ref[Any]] = []
        self.contexts: list[Any] = [Ctx(), AnyContext(), WithInit("an argument")]
        self.scopes: list[Any] = []
        self.displaced: list[Any] = []
        self.kept: list[Any] = []
        self.bodies: list[Answered] = []
        self.iterators: list[Any] = []
        self.depth = 0
        self.left = 0
        self.dropped: list[Any] = []
        self.environs: list[dict[str, Any]] = []
        self.names = iter(range(10**9))
        self.visitor = JobThread("the visitor")
        self.threads = [self.new_thread(foreign=False), self.new_thread(foreign=True)]

    def new_thread(self, *, foreign: bool) -> JobThread:
        return JobThread(f"thread {next(self.names)}", foreign=foreign)

    def note(self, *what: Any) -> None:
        self.journal.append([self.describe(part) for part in what])

    def describe(self, value: Any) -> Any:
        if value is None or isinstance(value, bool | int):
            return value
        if isinstance(value, list | tuple):
            return [self.describe(part) for part in value]
        if isinstance(value, str | Scope | RequestContext) or type(value).__name__.endswith("Namespace"):
            return steady(value if isinstance(value, str) else repr(value))
        return type(value).__name__

    def outcome(self, command: Any) -> Any:
        try:
            return self.describe(self.perform(command))
        except BaseException as error:
            return self.describe_error(error)

    def describe_error(self, error: BaseException) -> Any:
        before = seen_before(error)
        error.__traceback__ = None  # a scope may keep the error, and frames of Python code keep what those of C do not
        return [
            type(error).__name__, steady(str(error)), getattr(error, "name", None),
            None if before is None else self.describe_error(before),
        ]  # fmt: skip

    def perform(self, command: Any) -> Any:
        name, *arguments = command
        return getattr(self, f"do_{name}")(*arguments)

    def run(self, commands: list[Any]) -> bytes:
        """Perform what application code does; only the command `raise` lets its error out."""
        self.depth += 1
        try:
            for command in commands if self.depth < DEEPEST else ():
                if self.left == 0:
                    break
                self.left -= 1
                if command[0] == "raise":
                    self.perform(command)
                self.note("inside", command[0], self.outcome(command))
        finally:
            self.depth -= 1
        return b"ran"

    def report(self, number: int, command: Any) -> Any:
        """Perform a command on one of the threads; what came of it, and of everything that it touched."""
        thread = self.threads[number % len(self.threads)]
        self.left = MOST
        if command[0] in ("begin", "end"):  # a thread can't do these itself
            outcome = self.outcome([*command, thread])
        else:
            outcome = thread.run(lambda: self.outcome(command))
        if thread not in self.threads:
            thread = self.threads[0]
        thread.run(self.free_dropped)
        return [self.counts(), outcome, *self.news()]

    def free_dropped(self) -> None:
        """Free the objects that a command dropped, once no garbage holds them."""
        gc.collect()
        self.dropped.clear()
        gc.collect()

    def counts(self) -> dict[str, int]:
        return {part: len(getattr(self, part)) for part in PARTS}

    def news(self) -> list[Any]:
        journal, self.journal = self.journal, []
        return [journal, [token() is not None for token in self.watched]]

    def value(self, kind: Any) -> Any:
        if kind not in ("token", "cycle"):
            return kind
        token: Any = Token()
        token.myself = token if kind == "cycle" else None
        self.watched.append(weakref.ref(token))
        return token

    # Threads

    def do_begin(self, foreign: bool, thread: JobThread) -> None:
        if len(self.threads) < 4:
            self.threads.append(self.new_thread(foreign=foreign))

    def do_end(self, thread: JobThread) -> None:
        if len(self.threads) > 1:
            self.threads.remove(thread)
            thread.end()

    def do_elsewhere(self, command: Any) -> Any:
        return self.visitor.run(lambda: self.outcome(command))

    def do_in_a_coroutine(self, commands: list[Any]) -> None:
        async def coroutine() -> None:
            self.run(commands)

        if not in_coroutine():
            asyncio.run(coroutine())

    def do_map(self, context: int) -> Any:
        numbers = {thread.key: number for number, thread in enumerate([*self.threads, self.visitor])}
        found = self.contexts[context]._local__impl.dicts
        return sorted([numbers.get(key, -1), found[key][0]() is not None, repr(found[key][1])] for key in found)

    def end(self) -> Any:
        """End all of it, and report as after a command."""
        self.do_elsewhere = self.outcome  # type: ignore[method-assign]
        for part in reversed(PARTS):
            while getattr(self, part):
                self.dropped.append(getattr(self, part).pop())
                self.free_dropped()
        for thread in (*self.threads, self.visitor):
            thread.end()
        gc.collect()
        return [self.counts(), *self.news()]


def steady(text: str) -> str:
    """The text without the parts that differ in each run."""
    return re.sub(r"0x[0-9a-f]+|foreign thread \d+|\d+\.\d{3} s", "...", text)
