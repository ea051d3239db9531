"""One implementation of `local` in an example: its classes and objects, and what came of each step."""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, Any

from differential.classes import subclasses
from differential.errors import seen_before, text_of
from differential.values import Payload

if TYPE_CHECKING:
    from collections.abc import Callable

    from differential.threads import JobThread

    Step = Callable[["Side"], Any]


class Side:
    """One implementation's part of an example."""

    def __init__(self, local: Any, visitor: JobThread, strays: threading.local) -> None:
        self.local = local
        self.visitor = visitor
        self.journal: list[Any] = []
        self.watched: dict[str, weakref.ref[Payload]] = {}
        self.inits = iter(range(10**9))
        self.failure: type[BaseException] | None = None
        self.strays = strays
        self.instances: list[Any] = []
        self.kept: list[dict[str, Any]] = []
        self.classes: dict[str, Any] = subclasses(self)

    def watch(self, payload: Payload) -> None:
        self.watched[payload.label] = weakref.ref(payload)

    def elsewhere(self, step: Step) -> None:
        """Take a step on another thread in the middle of one."""
        self.journal.append(self.visitor.run(lambda: self.outcome(step)))

    @property
    def living(self) -> list[str]:
        return [label for label, payload in self.watched.items() if payload() is not None]

    def outcome(self, step: Step) -> Any:
        try:
            return self.describe(step(self))
        except BaseException as error:
            return self.describe_error(error)

    def describe(self, value: Any) -> Any:
        """The value without what differs between two objects that are alike."""
        if value is None or isinstance(value, bool | int | str):
            return value
        if isinstance(value, Payload):
            return f"<{type(value).__name__} {value.label}>"
        if isinstance(value, list | tuple):
            return [self.describe(part) for part in value]
        if isinstance(value, dict):
            return {"dict": [(repr(name), self.describe(dict.get(value, name))) for name in value]}
        if isinstance(value, type):
            return f"<class {value.__name__}>"
        if isinstance(value, self.local):
            return f"<local {self.number_of(value)}>"
        return "<function>" if callable(value) else f"<{type(value).__name__}>"

    def describe_error(self, error: BaseException) -> Any:
        before = seen_before(error)
        owner = getattr(error, "obj", None)
        return {
            "raised": type(error).__name__,
            "text": text_of(error),
            "name": getattr(error, "name", None),
            "obj": self.number_of(owner) if isinstance(owner, self.local) else type(owner).__name__,
            "before": None if before is None else self.describe_error(before),
        }

    def number_of(self, instance: Any) -> int:
        return next((number for number, other in enumerate(self.instances) if other is instance), -1)

    def dicts(self, number: int) -> Any:
        """The map of a local: the threads that are in it, and the dict of each."""
        found = self.instances[number]._local__impl.dicts
        return [(key, id(found[key][0]()) == key, self.describe(found[key][1])) for key in sorted(found)]
