"""A story: commands that a process with one of the twins performs, and what it tells of them.

A command is a list of a name and arguments. What comes of it is told in words that are the same in every process.
"""

from __future__ import annotations

import asyncio
import gc
import re
import weakref
from typing import TYPE_CHECKING, Any

from differential.application import Ctx, Token, WithInit
from differential.errors import seen_before
from differential.threads import Worker

from tlctx import RequestContext, Scope
from tlctx._core.context import AnyContext
from tlctx._core.lifetime import in_coroutine

if TYPE_CHECKING:
    from differential.requests import Answered

PARTS = ("scopes", "displaced", "kept", "bodies", "iterators")
"""What a story has of its own, by attribute: later commands use it by number."""

DEEPEST = 10
MOST = 100
"""Commands inside of one, and how deep: those of one body may close another, whose own step the first, and so on."""


class Story:
    """What commands lead to, in this process: each is a list of a name and arguments."""

    def __init__(self) -> None:
        Ctx.story = self
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
        self.visitor = Worker("the visitor")
        self.workers = [self.worker(foreign=False), self.worker(foreign=True)]

    def worker(self, *, foreign: bool) -> Worker:
        return Worker(f"worker {next(self.names)}", foreign=foreign)

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
        """Perform what application code does: an error goes on only where it is the point."""
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

    def tell(self, thread: int, command: Any) -> Any:
        """What came of a command on one of the threads, and of all that it touched."""
        worker = self.workers[thread % len(self.workers)]
        self.left = MOST
        if command[0] in ("begin", "end"):  # what a thread can't do itself
            outcome = self.outcome([*command, worker])
        else:
            outcome = worker.run(lambda: self.outcome(command))
        if worker not in self.workers:
            worker = self.workers[0]
        worker.run(self.let_go)
        return [self.there(), outcome, *self.news()]

    def let_go(self) -> None:
        """Drop what a command dropped, when no garbage holds it."""
        gc.collect()
        self.dropped.clear()
        gc.collect()

    def there(self) -> dict[str, int]:
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

    def do_begin(self, foreign: bool, worker: Worker) -> None:
        if len(self.workers) < 4:
            self.workers.append(self.worker(foreign=foreign))

    def do_end(self, worker: Worker) -> None:
        if len(self.workers) > 1:
            self.workers.remove(worker)
            worker.end()

    def do_elsewhere(self, command: Any) -> Any:
        return self.visitor.run(lambda: self.outcome(command))

    def do_in_a_coroutine(self, commands: list[Any]) -> None:
        async def coroutine() -> None:
            self.run(commands)

        if not in_coroutine():
            asyncio.run(coroutine())

    def do_map(self, context: int) -> Any:
        numbers = {worker.key: number for number, worker in enumerate([*self.workers, self.visitor])}
        found = self.contexts[context]._local__impl.dicts
        return sorted([numbers.get(key, -1), found[key][0]() is not None, repr(found[key][1])] for key in found)

    def end(self) -> Any:
        """End all of it. What comes of that, as after a command."""
        self.do_elsewhere = self.outcome  # type: ignore[method-assign]
        for part in reversed(PARTS):
            while getattr(self, part):
                self.dropped.append(getattr(self, part).pop())
                self.let_go()
        for worker in (*self.workers, self.visitor):
            worker.end()
        gc.collect()
        return [self.there(), *self.news()]


def steady(text: str) -> str:
    """The text without what is new in each run."""
    return re.sub(r"0x[0-9a-f]+|foreign thread \d+|\d+\.\d{3} s", "...", text)
