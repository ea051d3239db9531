"""The twins take the same steps: whatever comes of one comes of the other.

Both twins of `local` are here at once. Of what stands on them, scopes and all, a process has one kind, so two
processes, which run this very file, tell what came of each command. `TLCTX_FUZZ=2000` tries that many examples, new
ones each time; without it there are a few, and always the same.
"""

from __future__ import annotations

import _thread
import asyncio
import contextlib
import gc
import json
import logging
import os
import queue
import re
import resource
import select
import signal
import subprocess
import sys
import tempfile
import threading
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, TypeVar

import pytest
from conftest import IMPLEMENTATIONS
from helpers import PATIENCE, missing
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

import tlctx
from tlctx import ContextMiddleware, RequestContext, Scope, per_request
from tlctx._core.context import AnyContext
from tlctx._core.lifetime import current_lifetime, in_coroutine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Step = Callable[["Side"], Any]

T = TypeVar("T")

FUZZ = int(os.environ.get("TLCTX_FUZZ", "0"))
LIMIT = 2**30
"""Bytes of memory that a process which tells stories may have."""

pytestmark = pytest.mark.timeout(2 * FUZZ + 120)


def profile(examples: int) -> settings:
    return settings(
        max_examples=FUZZ or examples,
        stateful_step_count=50,
        derandomize=not FUZZ,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
    )


# Threads that do as they are told


class SetAtTheEnd:
    """Tells of the end of what holds it."""

    def __init__(self, event: threading.Event) -> None:
        self.event = event

    def __del__(self) -> None:
        self.event.set()


class Worker:
    """A thread that does one thing at a time for whoever waits for it; a foreign one `threading` does not know."""

    def __init__(self, name: str = "worker", *, foreign: bool = False) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], Any] | None] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._gone = threading.Event()
        self._storage = threading.local()
        self._thread = None if foreign else threading.Thread(target=self._serve, name=name, daemon=True)
        if self._thread is None:
            _thread.start_new_thread(self._serve, ())
        else:
            self._thread.start()
        self.ident = 0
        self.ident, self.key = self.run(lambda: (threading.get_ident(), current_lifetime().key))

    def _serve(self) -> None:
        for job in iter(self._jobs.get, None):
            self._results.put(job())
            del job  # or it would keep what it refers to
        self._storage.last = SetAtTheEnd(self._gone)

    def run(self, job: Callable[[], Any]) -> Any:
        """What `job()`, which never raises, returns on this thread."""
        if threading.get_ident() == self.ident:
            return job()
        self._jobs.put(job)
        return self._results.get(timeout=PATIENCE)

    def end(self) -> None:
        """Return when the thread has ended, and what it stored is gone: no other may get the GIL in between."""
        self._jobs.put(None)
        assert self._gone.wait(PATIENCE), "the thread hangs"
        if self._thread is not None:
            self._thread.join(PATIENCE)
            assert not self._thread.is_alive(), "the thread hangs"


# What a step leads to, in words that are the same for both twins


def text_of(error: BaseException) -> str:
    return re.sub(r"0x[0-9a-f]+|_local_c\.|tlctx\._core\._local_(c|py)\.", "", str(error))


def seen_before(error: BaseException) -> BaseException | None:
    """The error that a traceback shows with this one."""
    return error.__cause__ or (None if error.__suppress_context__ else error.__context__)


# What is stored, and what is stored in


class Payload:
    """A value that can be watched while it dies."""

    def __init__(self, side: Side, label: str, owner: Any) -> None:
        self.label = label
        side.watch(self)


class Circular(Payload):
    """One that only the collector can free."""

    def __init__(self, side: Side, label: str, owner: Any) -> None:
        super().__init__(side, label, owner)
        self.myself = [self, vars(owner)]


class Finalized(Payload):
    """One that uses the local it was stored in when it goes."""

    use = "read"

    def __init__(self, side: Side, label: str, owner: Any) -> None:
        super().__init__(side, label, owner)
        self.side = side
        self.owner = weakref.ref(owner)

    def __del__(self) -> None:
        owner = self.owner()
        if owner is not None:
            outcome = self.side.outcome(lambda side: self.touch(owner))
            self.side.journal.append((self.label, outcome))

    def touch(self, owner: Any) -> Any:
        return getattr(owner, "x", "nothing")


class Writing(Finalized):
    def touch(self, owner: Any) -> Any:
        owner.x = Payload(self.side, f"{self.label}, written by its finalizer", owner)


class Deleting(Finalized):
    def touch(self, owner: Any) -> Any:
        del owner.x


class Adopting(Finalized):
    def touch(self, owner: Any) -> Any:
        return len(owner._local__impl.create_dict())


class Strong(Finalized):
    """One that keeps the local it was stored in."""

    def __init__(self, side: Side, label: str, owner: Any) -> None:
        super().__init__(side, label, owner)
        self.strong = owner


VALUES: dict[str, Callable[[Side, str, Any], Any]] = {
    "a number": lambda side, label, owner: 5,
    "text": lambda side, label, owner: label,
    "None": lambda side, label, owner: None,
    "a class": lambda side, label, owner: side.classes["init"],
    "the local": lambda side, label, owner: owner,
    **{kind.__name__: kind for kind in (Payload, Circular, Finalized, Writing, Deleting, Adopting, Strong)},
}


class Name(str):
    """A name that is no plain string."""

    __slots__ = ()


FORMS: dict[str, Callable[[str], str]] = {
    "interned": sys.intern,
    "built": lambda name: f"{name} "[:-1],
    "subclass": Name,
}
NAMES = [
    "x", "y", "z", "constant", "computed", "broken", "own_error", "visits", "sets", "deletes", "gets", "both", "slot",
    "made_up", "given", "method", "of_class", "__init__", "__dict__", "__class__", "", "naïve ключ", "a\0b", "\ud800",
    *(f"name_{number}" for number in range(10)),
]  # fmt: skip
names = st.builds(lambda name, form: FORMS[form](name), st.sampled_from(NAMES), st.sampled_from(sorted(FORMS)))


class OnlySets:
    def __set__(self, instance: Any, value: Any) -> None:
        vars(instance)["set_through"] = value


class OnlyDeletes:
    def __delete__(self, instance: Any) -> None:
        vars(instance)["deleted_through"] = True


class OnlyGets:
    def __get__(self, instance: Any, owner: Any) -> str:
        return "got" if instance is None else f"got {sorted(map(repr, vars(instance)))}"


class Both(OnlyGets, OnlySets): ...


def computed(side: Side) -> property:
    def read(self: Any) -> Any:
        return f"computed from {len(vars(self))}"

    def write(self: Any, value: Any) -> None:
        self.y = value

    def remove(self: Any) -> None:
        del self.y

    return property(read, write, remove)


def broken(side: Side) -> property:
    def read(self: Any) -> Any:
        raise AttributeError("from the property's own code")

    return property(read)


def own_error(side: Side) -> property:
    def read(self: Any) -> Any:
        raise AttributeError("looks like ours", name="own_error", obj=self)

    return property(read)


def visits(side: Side) -> property:
    """What it returns was read before another thread came by, and after."""

    def read(self: Any) -> Any:
        before = getattr(self, "x", "nothing")
        side.elsewhere(lambda _: setattr(self, "x", "written on another thread"))
        return before, getattr(self, "x", "nothing")

    return property(read)


def own(kind: type) -> Any:
    """A descriptor whose class is the example's own, so that the example may change it."""
    return type(kind.__name__, (kind,), {})()


CLASS_ATTRIBUTES: dict[str, Callable[[Side], Any]] = {
    "constant": lambda side: "the class's",
    "payload": lambda side: Payload(side, "on the class", None),
    "method": lambda side: lambda self: "called",
    "of_class": lambda side: classmethod(lambda cls: cls.__name__),
    "computed": computed,
    "broken": broken,
    "own_error": own_error,
    "visits": visits,
    "sets": lambda side: own(OnlySets),
    "deletes": lambda side: own(OnlyDeletes),
    "gets": lambda side: own(OnlyGets),
    "both": lambda side: own(Both),
}


def subclasses(side: Side) -> dict[str, Any]:
    base: Any = side.local

    class Init(base):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            self.given = args, sorted(kwargs)
            self.x = Payload(side, f"of __init__ {next(side.inits)}", self)
            side.elsewhere(lambda _: getattr(self, "y", "nothing"))
            if side.failure is not None:
                raise side.failure("from __init__")

    class Special(base):  # type: ignore[misc]
        vars().update({name: make(side) for name, make in CLASS_ATTRIBUTES.items()})

    class Slotted(Special):
        __slots__ = ("slot",)

    class Fallback(Special):
        def __getattr__(self, name: str) -> str:
            if name == "made_up":
                return f"made up {name}"
            raise AttributeError(f"no {name!r}")

    class Super(base):  # type: ignore[misc]
        def __getattribute__(self, name: str) -> Any:
            return super().__getattribute__(name)

        def __setattr__(self, name: str, value: Any) -> None:
            super().__setattr__(name, value)

        def __delattr__(self, name: str) -> None:
            super().__delattr__(name)

    class Bare(base):  # type: ignore[misc]
        __slots__ = ()

    class First(base):  # type: ignore[misc]
        constant = "of the first"

    class Second(base):  # type: ignore[misc]
        computed = computed(side)

    kinds = (Init, Special, Slotted, Fallback, Super, Bare, First, Second)
    return {"local": base, **{kind.__name__.lower(): kind for kind in kinds}}


KINDS = ["local", "init", "special", "slotted", "fallback", "super", "bare", "first", "second"]


class Strict(dict[str, Any]):
    """A dict with ways of its own: it refuses one name, and counts."""

    def __setitem__(self, name: str, value: Any) -> None:
        if name == "z":
            raise ValueError("z is refused")
        super().__setitem__(name, value)

    def __delitem__(self, name: str) -> None:
        if name == "z":
            raise KeyError("z is refused")
        super().__delitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        raise AssertionError("a look-up takes no method of the dict's class")

    __getitem__ = get


class Side:
    """One twin's part of an example."""

    def __init__(self, local: Any, visitor: Worker) -> None:
        self.local = local
        self.visitor = visitor
        self.journal: list[Any] = []
        self.watched: dict[str, weakref.ref[Payload]] = {}
        self.inits = iter(range(10**9))
        self.failure: type[BaseException] | None = None
        self.strays = threading.local()
        self.instances: list[Any] = []
        self.kept: list[dict[str, Any]] = []
        self.classes: dict[str, Any] = subclasses(self)

    def watch(self, payload: Payload) -> None:
        self.watched[payload.label] = weakref.ref(payload)

    def elsewhere(self, step: Step) -> None:
        """Take a step on another thread in the middle of one."""
        self.journal.append(self.visitor.run(lambda: self.outcome(step)))

    @property
    def alive(self) -> list[str]:
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
        """The map behind a local: which threads are in it, and what of each."""
        found = self.instances[number]._local__impl.dicts
        return [(key, id(found[key][0]()) == key, self.describe(found[key][1])) for key in sorted(found)]


indices = st.integers(0, 3)


class Twins(RuleBasedStateMachine):
    """Both twins, a few threads, and what may be done with them."""

    def __init__(self) -> None:
        super().__init__()
        gc.collect()
        gc.freeze()
        gc.disable()  # so that both lose their garbage in the same step
        self.interval = sys.getswitchinterval()
        sys.setswitchinterval(PATIENCE)
        self.workers = [Worker(), Worker(foreign=True)]
        self.visitor = Worker()
        self.labels = iter(range(10**9))
        self.sides = [Side(local, self.visitor) for local in IMPLEMENTATIONS.values()]

    def teardown(self) -> None:
        for worker in (*self.workers, self.visitor):
            worker.end()
        del self.sides
        sys.setswitchinterval(self.interval)
        gc.enable()
        gc.unfreeze()

    def same(self, thread: int, step: Step) -> Any:
        """Take the step with both on one thread, and compare all that came of it."""
        outcomes = self.workers[thread % len(self.workers)].run(lambda: [side.outcome(step) for side in self.sides])
        self.compare(outcomes)
        return outcomes[0]

    def compare(self, outcomes: list[Any]) -> None:
        python, c = outcomes
        assert c == python
        assert self.sides[1].journal == self.sides[0].journal
        assert self.sides[1].alive == self.sides[0].alive

    def number(self, index: int) -> int:
        return index % len(self.sides[0].instances)

    def some(self) -> bool:
        return bool(self.sides[0].instances)

    # Locals

    @rule(thread=indices, kind=st.sampled_from(KINDS), count=st.integers(0, 2), word=st.booleans())
    def make(self, thread: int, kind: str, count: int, word: bool) -> None:
        arguments, keywords = tuple(range(count)), {"word": 1} if word else {}

        def step(side: Side) -> None:
            side.instances.append(side.classes[kind](*arguments, **keywords))

        if len(self.sides[0].instances) < 5:
            self.same(thread, step)

    @precondition(some)
    @rule(thread=indices, index=indices)
    def drop(self, thread: int, index: int) -> None:
        number = self.number(index)
        self.same(thread, lambda side: side.instances.pop(number) and None)

    @rule(failure=st.sampled_from([None, ValueError, AttributeError, KeyboardInterrupt]))
    def from_here_on_init_raises(self, failure: type[BaseException] | None) -> None:
        for side in self.sides:
            side.failure = failure

    # Attributes

    @precondition(some)
    @rule(thread=indices, index=indices, name=names)
    def read(self, thread: int, index: int, name: str) -> None:
        number = self.number(index)
        self.same(thread, lambda side: getattr(side.instances[number], name))

    @precondition(some)
    @rule(thread=indices, index=indices, name=names)
    def read_with_a_default(self, thread: int, index: int, name: str) -> None:
        number = self.number(index)
        self.same(
            thread, lambda side: (hasattr(side.instances[number], name), getattr(side.instances[number], name, 0))
        )

    @precondition(some)
    @rule(thread=indices, index=indices, name=names, value=st.sampled_from(sorted(VALUES)))
    def write(self, thread: int, index: int, name: str, value: str) -> None:
        number, label = self.number(index), f"payload {next(self.labels)}"

        def step(side: Side) -> None:
            owner = side.instances[number]
            setattr(owner, name, VALUES[value](side, label, owner))

        self.same(thread, step)

    @precondition(some)
    @rule(thread=indices, index=indices, name=names)
    def delete(self, thread: int, index: int, name: str) -> None:
        number = self.number(index)
        self.same(thread, lambda side: delattr(side.instances[number], name))

    @precondition(some)
    @rule(thread=indices, index=indices)
    def list_attributes(self, thread: int, index: int) -> None:
        number = self.number(index)

        def step(side: Side) -> Any:
            owner = side.instances[number]
            return sorted({*map(repr, dir(owner))} - {*map(repr, dir(type(owner)))}), vars(owner)

        self.same(thread, step)

    @precondition(some)
    @rule(thread=indices, index=indices)
    def keep_its_dict(self, thread: int, index: int) -> None:
        number = self.number(index)
        self.same(thread, lambda side: side.kept.append(vars(side.instances[number])))

    @precondition(lambda self: self.sides[0].kept)
    @rule(
        thread=indices, index=indices, name=names, use=st.sampled_from(["write", "delete", "clear", "read", "let go"])
    )
    def use_a_kept_dict(self, thread: int, index: int, name: str, use: str) -> None:
        number = index % len(self.sides[0].kept)
        uses: dict[str, Step] = {
            "write": lambda side: side.kept[number].__setitem__(name, "into the dict"),
            "delete": lambda side: side.kept[number].pop(name, "nothing"),
            "clear": lambda side: side.kept[number].clear(),
            "read": lambda side: side.kept[number],
            "let go": lambda side: side.kept.pop(number) and None,
        }
        self.same(thread, uses[use])

    # Classes

    @rule(thread=indices, kind=st.sampled_from(KINDS[1:]), name=names, what=st.sampled_from(sorted(CLASS_ATTRIBUTES)))
    def put_on_the_class(self, thread: int, kind: str, name: str, what: str) -> None:
        if not name.startswith("__"):
            self.same(thread, lambda side: setattr(side.classes[kind], name, CLASS_ATTRIBUTES[what](side)))

    @rule(thread=indices, kind=st.sampled_from(KINDS[1:]), name=names)
    def take_off_the_class(self, thread: int, kind: str, name: str) -> None:
        if not name.startswith("__"):
            self.same(thread, lambda side: delattr(side.classes[kind], name))

    @rule(
        thread=indices,
        kind=st.sampled_from(["special", "slotted", "first"]),
        name=st.sampled_from(["sets", "deletes", "gets", "both"]),
        method=st.sampled_from(["__set__", "__get__", "__delete__"]),
        there=st.booleans(),
    )
    def change_the_class_of_a_descriptor(self, thread: int, kind: str, name: str, method: str, there: bool) -> None:
        def step(side: Side) -> None:
            descriptor = type(vars(side.classes[kind])[name])
            if there:
                setattr(descriptor, method, lambda *_: "grown")
            else:
                delattr(descriptor, method)

        self.same(thread, step)

    @precondition(some)
    @rule(thread=indices, index=indices, kind=st.sampled_from(KINDS))
    def become(self, thread: int, index: int, kind: str) -> None:
        number = self.number(index)
        self.same(thread, lambda side: setattr(side.instances[number], "__class__", side.classes[kind]))

    # What is behind a local

    @precondition(some)
    @rule(thread=indices, index=indices)
    def look_at_the_map(self, thread: int, index: int) -> None:
        number = self.number(index)
        self.same(thread, lambda side: side.dicts(number))

    @precondition(some)
    @rule(
        thread=indices,
        index=indices,
        use=st.sampled_from(["get_dict", "create_dict", "swap none", "swap in", "swap strict in", "peek", "swap both"]),
    )
    def use_the_map(self, thread: int, index: int, use: str) -> None:
        number, label = self.number(index), f"payload {next(self.labels)}"

        def step(side: Side) -> Any:
            owner = side.instances[number]
            module, impl = sys.modules[side.local.__module__], owner._local__impl
            uses: dict[str, Callable[[], Any]] = {
                "get_dict": impl.get_dict,
                "create_dict": impl.create_dict,
                "swap none": lambda: impl.swap_dict(None),
                "swap in": lambda: impl.swap_dict({"x": Writing(side, label, owner)}),
                "swap strict in": lambda: module.swap_dict(owner, Strict(x=Payload(side, label, owner))),
                "peek": lambda: module.peek_dict(owner),
                "swap both": lambda: module.swap_dict(owner, module.swap_dict(owner, {})),
            }
            return uses[use]()

        self.same(thread, step)

    @precondition(some)
    @rule(thread=indices, index=indices, other=indices)
    def forget(self, thread: int, index: int, other: int) -> None:
        number, key = self.number(index), self.workers[other % len(self.workers)].key
        self.same(thread, lambda side: side.instances[number]._local__impl.forget(key))

    # Threads, and the collector

    @rule(foreign=st.booleans())
    def begin_a_thread(self, foreign: bool) -> None:
        if len(self.workers) < 4:
            self.workers.append(Worker(foreign=foreign))

    @precondition(lambda self: len(self.workers) > 1)
    @rule(thread=indices)
    def end_a_thread(self, thread: int) -> None:
        self.workers.pop(thread % len(self.workers)).end()
        self.compare([None, None])

    @precondition(some)
    @rule(thread=indices, index=indices, kind=st.sampled_from([Finalized, Writing, Deleting, Adopting, Strong]))
    def store_what_uses_it_when_the_threads_storage_goes(self, thread: int, index: int, kind: type[Finalized]) -> None:
        number, label = self.number(index), f"stray {next(self.labels)}"
        self.same(thread, lambda side: setattr(side.strays, "x", kind(side, label, side.instances[number])))

    @rule(thread=indices)
    def collect(self, thread: int) -> None:
        self.workers[thread % len(self.workers)].run(gc.collect)
        self.compare([None, None])


def test_local_leads_to_the_same_on_both_twins() -> None:
    if len(IMPLEMENTATIONS) < 2:
        missing("the compiled twin")
    run_state_machine_as_test(Twins, settings=profile(100))


# Scopes: what a process with one of the twins does when it is told to


FAULTS: dict[str, type[BaseException]] = {
    kind.__name__: kind for kind in (ValueError, AttributeError, KeyError, StopIteration, SystemExit, GeneratorExit)
}


class Token:
    """A value that can be watched while it dies."""


class Ctx(RequestContext):
    user: str = "nobody"
    tenant: str
    story: ClassVar[Story]

    @per_request
    def made(self) -> Any:
        return self.story.value("token")

    @per_request
    def finishing(self) -> Iterator[Any]:
        self.story.note("finishing begins", self.get("user"))
        try:
            yield self.story.value("token")
        except BaseException as error:
            self.story.note("finishing learns of", type(error).__name__)
            raise
        finally:
            self.story.note("finishing ends", self.get("user"))

    @per_request
    def failing(self) -> Any:
        raise ValueError("no value today")

    @per_request
    def fails_at_the_end(self) -> Iterator[int]:
        yield 1
        raise KeyError("at the end")

    def method(self) -> str:
        return "called"


class WithInit(Ctx):
    def __init__(self, *args: Any) -> None:
        self.user = f"init {args}"
        if self.story.failure is not None:
            raise FAULTS[self.story.failure]("from __init__")


class Manager:
    """A context manager that notes its end, and may raise or swallow there."""

    def __init__(self, story: Story, end: str) -> None:
        self.story = story
        self.end = end

    def __enter__(self) -> str:
        return "entered"

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> bool:
        self.story.note("a manager learns of", getattr(kind, "__name__", None))
        if self.end in FAULTS:
            raise FAULTS[self.end]("from a manager's end")
        return self.end == "swallow"


class Script:
    """The body of a request: a list of commands for each step, and one for its end."""

    def __init__(self, story: Story, steps: list[Any], end: list[Any]) -> None:
        self.story = story
        self.steps = steps
        self.end = end

    def generate(self) -> Iterator[bytes]:
        try:
            for number, commands in enumerate(self.steps):
                self.story.run(commands)
                yield b"%d" % number
        finally:
            self.story.run(self.end)

    def make(self, kind: str, environ: dict[str, Any]) -> Any:
        if kind == "generator":
            return self.generate()
        if kind == "map":
            return map(self.story.run, self.steps)
        if kind == "file":
            return environ.get("wsgi.file_wrapper", list)(self)
        kinds = {"iterable": Iterable, "iterator": Iterating, "sized": Sized, "by index": ByIndex}
        return kinds[kind](self) if kind in kinds else {"list": [b"a"], "tuple": (b"a",), "None": None}[kind]


class Iterable:
    def __init__(self, script: Script) -> None:
        self.script = script

    def __iter__(self) -> Any:
        self.script.story.note("iter")
        return iter([self.script.story.run(commands) for commands in self.script.steps[:1]] + [b"end"])


class Iterating(Iterable):
    left: Any = None

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        self.left = iter(self.script.steps) if self.left is None else self.left
        return self.script.story.run(next(self.left))

    def close(self) -> None:
        self.script.story.note("close")
        self.script.story.run(self.script.end)


class Sized(Iterating):
    def __len__(self) -> int:
        self.script.story.run(self.script.end)
        return 2


class ByIndex(Iterable):
    __iter__ = None  # type: ignore[assignment]

    def __getitem__(self, number: int) -> Any:
        return self.script.story.run(self.script.steps[number])


class FileWrapper:
    """A server's."""

    def __init__(self, script: Script) -> None:
        self.script = script

    def __iter__(self) -> Any:
        return iter([b"file"])

    def close(self) -> None:
        self.script.story.note("the file is closed")
        self.script.story.run(self.script.end)


class Sealed(FileWrapper):
    """One that takes no attributes."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "close":
            raise AttributeError(name)
        super().__setattr__(name, value)


class Environ(dict[str, Any]):
    """One that is not exactly a dict."""


PARTS = ("scopes", "displaced", "kept", "bodies", "iterators")


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
        self.bodies: list[Any] = []
        self.iterators: list[Any] = []
        self.iterated: set[int] = set()
        self.depth = 0
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
            for command in commands if self.depth < 10 else ():
                if command[0] == "raise":
                    self.perform(command)
                self.note("inside", command[0], self.outcome(command))
        finally:
            self.depth -= 1
        return b"ran"

    def tell(self, thread: int, command: Any) -> Any:
        """What came of a command on one of the threads, and of all that it touched."""
        worker = self.workers[thread % len(self.workers)]
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

    # A context

    def do_write(self, context: int, name: str, value: Any) -> None:
        setattr(self.contexts[context], name, self.value(value))

    def do_read(self, context: int, name: str) -> Any:
        return getattr(self.contexts[context], name)

    def do_delete(self, context: int, name: str) -> None:
        delattr(self.contexts[context], name)

    def do_get(self, context: int, name: str) -> Any:
        return self.contexts[context].get(name, "the default"), name in self.contexts[context]

    def do_list(self, context: int) -> Any:
        return repr(self.contexts[context]), Scope.of(self.contexts[context]), list(self.contexts[context])

    def do_keep(self, context: int) -> None:
        self.kept.append(vars(self.contexts[context]))

    def do_use_kept(self, number: int, name: str) -> Any:
        kept = self.kept[number % len(self.kept)]
        return repr(kept), len(kept), kept.get(name), kept.__setitem__(name, "into what was kept")

    def do_fail_in_init(self, failure: str | None) -> None:
        self.failure = failure

    def do_raise(self, kind: str) -> None:
        raise FAULTS[kind]("raised")

    # Scopes

    def do_make(self, context: int, values: dict[str, Any], path: str | None, use: str) -> Any:
        environ = None if path is None else {"REQUEST_METHOD": "GET", "PATH_INFO": path}
        self.scopes.append(Scope(self.contexts[context], environ, values))
        return self.perform([use, -1]) if use else self.scopes[-1]

    def scope(self, number: int) -> Scope:
        return self.scopes[number % len(self.scopes)]  # type: ignore[no-any-return]

    def do_describe(self, number: int) -> Any:
        scope = self.scope(number)
        return scope, scope.namespace, scope.thread == threading.get_ident(), sorted(scope.environ), scope.context

    def do_bind(self, number: int) -> Any:
        scope = self.scope(number)
        self.displaced.append((scope, scope.bind()))
        return self.displaced[-1]

    def do_unbind(self, number: int) -> Any:
        scope, displaced = self.displaced.pop(number % len(self.displaced))
        return scope.unbind(displaced)

    def do_enter(self, number: int) -> Any:
        return self.scope(number).__enter__()

    def do_exit(self, number: int, fault: str | None) -> Any:
        error = None if fault is None else FAULTS[fault]("told to __exit__")
        return self.scope(number).__exit__(None if error is None else type(error), error, None)

    def do_close(self, number: int, fault: str | None) -> Any:
        return self.scope(number).close(None if fault is None else FAULTS[fault]("told to close()"))

    def do_fail(self, number: int, fault: str) -> Any:
        return self.scope(number).fail(FAULTS[fault]("told to fail()"))

    def do_forget_scope(self, number: int) -> None:
        del self.scopes[number % len(self.scopes)]

    def do_carried(self, number: int, commands: list[Any]) -> None:
        with self.scope(number).carried():
            self.run(commands)

    def do_block(self, context: int, values: dict[str, Any], commands: list[Any]) -> None:
        with self.contexts[context].scope(**values):
            self.run(commands)

    def do_callback(self, context: int, commands: list[Any]) -> None:
        self.contexts[context].callback(self.run, commands)

    def do_callback_of(self, number: int, commands: list[Any]) -> None:
        self.scope(number).callback(self.run, commands)

    def do_manage(self, context: int, end: str) -> Any:
        return self.contexts[context].enter_context(Manager(self, end))

    # Requests

    def environ(self, kind: str) -> dict[str, Any]:
        environ = {"REQUEST_METHOD": "GET", "PATH_INFO": f"/{kind}", "SCRIPT_NAME": "", "wsgi.input": object()}
        if kind == "outer" and self.environs:
            return self.environs[-1]
        if kind == "file":
            return {**environ, "wsgi.file_wrapper": FileWrapper}
        if kind == "sealed":
            return {**environ, "wsgi.file_wrapper": Sealed}
        if kind == "function":
            return {**environ, "wsgi.file_wrapper": lambda script: Iterating(script)}  # noqa: PLW0108
        return Environ(environ) if kind == "odd" else environ

    def do_request(self, context: int, kind: str, values: Any, commands: list[Any], *body: Any) -> Any:
        """Serve one: `commands` run in the application, `body` is its kind, steps and end; `values` come first."""

        def app(environ: dict[str, Any], start_response: Any) -> Any:
            self.environs.append(environ)
            try:
                self.run(commands)
                return Script(self, *body[1:]).make(body[0], environ)
            finally:
                self.environs.pop()

        initialize: Any = {"none": None, "fails": lambda environ: 1 / 0, "wrong": lambda environ: 5}.get(
            values, lambda environ: {"user": values}
        )
        middleware = ContextMiddleware(app, self.contexts[context], initialize)
        self.bodies.append(middleware(self.environ(kind), start_response))
        return type(self.bodies[-1]).__name__.strip("_")

    def do_iterate(self, number: int) -> None:
        """A server iterates a body once."""
        body = self.bodies[number % len(self.bodies)]
        if id(body) not in self.iterated:
            self.iterated.add(id(body))
            self.iterators.append(iter(body))

    def do_step(self, number: int) -> Any:
        """A server takes no step inside a step, and none after one that raised."""
        iterator = self.iterators.pop(number % len(self.iterators))
        step = next(iterator).decode()
        self.iterators.append(iterator)
        return step

    def do_next(self, number: int) -> Any:
        return next(self.bodies[number % len(self.bodies)]).decode()

    def do_len(self, number: int) -> Any:
        return len(self.bodies[number % len(self.bodies)])

    def do_close_body(self, number: int) -> Any:
        return self.bodies[number % len(self.bodies)].close()

    def do_drop_body(self, number: int) -> None:
        number %= len(self.bodies)
        self.dropped += [*self.iterators, self.bodies.pop(number)]
        self.iterators.clear()

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


class Journal(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        Ctx.story.note("logged", record.getMessage(), type(error).__name__)


def tell_a_story() -> None:
    """Perform the commands of the standard input, one a line, and print what comes of each."""
    gc.freeze()
    gc.disable()
    sys.setswitchinterval(PATIENCE)
    sys.unraisablehook = lambda raised: Ctx.story.note("unraisable", repr(raised.exc_value))
    logging.getLogger("tlctx").addHandler(Journal())
    logging.getLogger("tlctx").propagate = False
    story = Story()
    while line := sys.stdin.readline():
        thread, what = json.loads(line)
        print(json.dumps(story.tell(thread, what) if what else story.end()), flush=True)
        if not what:
            os._exit(0)
    os._exit(1)


def tell_stories() -> None:
    """Tell each in a process of its own, so that all begin alike."""
    print(json.dumps(tlctx.IMPLEMENTATION), flush=True)
    while True:
        child = os.fork()
        if child == 0:
            tell_a_story()
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status > 0:
            break
        if status < 0:
            print(json.dumps({"died": signal.Signals(-status).name}), flush=True)


# Two such processes


class Teller:
    """A process with one of the twins."""

    def __init__(self, twin: str) -> None:
        self.twin = twin
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-X", "faulthandler", __file__],
            env={
                **os.environ,
                "TLCTX_PURE_PYTHON": "1" if twin == "python" else "",
                "PYTHONPATH": str(Path(tlctx.__file__).parent.parent),
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            bufsize=1,
            start_new_session=True,
        )
        assert self.answer() == twin

    def ask(self, thread: int, what: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([thread, what]) + "\n")

    def answer(self) -> Any:
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE / 2)
        line = self.process.stdout.readline() if ready else ""
        return json.loads(line) if line else self.fail("gives no answer")

    def fail(self, reason: str) -> NoReturn:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGABRT)  # its threads tell what they are at
        self.process.wait(PATIENCE)
        self.errors.seek(0)
        raise AssertionError(f"the {self.twin} twin {reason}\n{self.errors.read()}")

    def end(self) -> None:
        self.process.communicate(timeout=PATIENCE)
        self.errors.close()


class Tellers:
    """One process for each twin."""

    def __init__(self) -> None:
        self.pair: list[Teller] = []
        self.agree = True

    def same(self, thread: int, what: Any) -> Any:
        """Have both perform it, compare what they tell, and return what there is now."""
        self.pair = self.pair or [Teller("python"), Teller("c")]
        self.agree = False
        python, c = self.ask(thread, what)
        assert c == python
        assert "died" not in c
        self.agree = True
        return python[0]

    def ask(self, thread: int, what: Any) -> list[Any]:
        try:
            for teller in self.pair:
                teller.ask(thread, what)
            return [teller.answer() for teller in self.pair]
        except BaseException:
            self.end()
            raise

    def anew(self) -> None:
        """End what they have, which has to agree too."""
        if self.agree and self.pair:
            self.same(0, None)
        elif self.pair:
            self.ask(0, None)
            self.agree = True

    def end(self) -> None:
        while self.pair:
            self.pair.pop().end()


tellers = Tellers()
contexts = st.sampled_from([0, 0, 0, 0, 0, 1, 2])
fields = st.sampled_from(
    [
        "user",
        "user",
        "tenant",
        "made",
        "finishing",
        "finishing",
        "failing",
        "fails_at_the_end",
        "method",
        "other",
        "__dict__",
    ]
)
values = st.sampled_from(["ann", 5, "token", "cycle"])
firsts = st.dictionaries(st.sampled_from(["user", "other", "method"]), st.just("first"), max_size=1)
faults = st.sampled_from(sorted(FAULTS))
maybe = st.none() | faults
some_paths = st.sampled_from([None, "/path", "/a\nb"])


def command(name: str, *arguments: Any) -> Any:
    return st.tuples(st.just(name), *arguments)


uses = st.one_of(
    command("write", contexts, fields, values),
    command("read", contexts, fields),
    command("delete", contexts, fields),
    command("get", contexts, fields),
    command("list", contexts),
    command("map", contexts),
    command("keep", contexts),
    command("manage", contexts, st.sampled_from(["", "swallow", "ValueError", "SystemExit"])),
)
lives = st.one_of(
    command("describe", indices),
    command("bind", indices),
    command("enter", indices),
    command("exit", indices, maybe),
    command("close", indices, maybe),
    command("fail", indices, faults),
    command("forget_scope", indices),
)
makes = command("make", contexts, firsts, some_paths, st.sampled_from(["", "bind", "bind", "enter"]))
ends = command("close_body", indices) | command("drop_body", indices)
steps = st.one_of(command("iterate", indices), command("next", indices), command("len", indices), ends)
kinds_of_environ = st.sampled_from(["plain", "plain", "outer", "file", "sealed", "function", "odd"])
kinds_of_body = st.sampled_from(
    [
        "generator",
        "generator",
        "generator",
        "list",
        "tuple",
        "None",
        "map",
        "file",
        "iterable",
        "iterator",
        "sized",
        "by index",
    ]
)


def nested(inner: Any) -> Any:
    several = st.lists(inner, max_size=3)
    return st.one_of(
        command("block", contexts, firsts, several),
        command("callback", contexts, several),
        command("callback_of", indices, several),
        command("carried", indices, several),
        command("elsewhere", inner),
        command("in_a_coroutine", several),
        requests(several),
    )


def requests(several: Any) -> Any:
    first = st.sampled_from(["none", "none", "none", "none", "zoe", "fails", "wrong"])
    return command(
        "request", contexts, kinds_of_environ, first, several, kinds_of_body, st.lists(several, max_size=3), several
    )


simple = st.one_of(
    uses,
    uses,
    uses,
    makes,
    lives,
    steps,
    command("raise", faults),
    command("unbind", indices),
    command("step", indices),
)
inside = st.recursive(simple, nested, max_leaves=5)
changes = st.one_of(command("begin", st.booleans()), command("end"), command("fail_in_init", st.none() | maybe))


def start_response(*_: Any) -> Any:
    return None


def having(part: str) -> Callable[[T], T]:
    """That the processes have something of the kind."""
    return precondition(lambda self: self.there[part] > 0)  # type: ignore[return-value]


class Stories(RuleBasedStateMachine):
    """Commands to both processes, which tell what there is for the next ones."""

    def __init__(self) -> None:
        super().__init__()
        self.there = dict.fromkeys(PARTS, 0)

    def same(self, thread: int, what: Any) -> None:
        self.there = tellers.same(thread, what)

    @rule(thread=indices, what=makes)
    def make(self, thread: int, what: Any) -> None:
        self.same(thread, what)

    @rule(thread=indices, what=uses)
    def use(self, thread: int, what: Any) -> None:
        self.same(thread, what)

    @rule(thread=indices, what=uses)
    def use_more(self, thread: int, what: Any) -> None:
        self.same(thread, what)

    @having("scopes")
    @rule(thread=indices, what=lives)
    def live(self, thread: int, what: Any) -> None:
        self.same(thread, what)

    @having("displaced")
    @rule(thread=indices, number=indices)
    def unbind(self, thread: int, number: int) -> None:
        self.same(thread, ["unbind", number])

    @having("kept")
    @rule(thread=indices, number=indices, name=fields)
    def use_kept(self, thread: int, number: int, name: str) -> None:
        self.same(thread, ["use_kept", number, name])

    @rule(thread=indices, what=requests(st.lists(inside, max_size=3)))
    def request(self, thread: int, what: Any) -> None:
        self.same(thread, what)

    @having("bodies")
    @rule(thread=indices, what=steps)
    def serve(self, thread: int, what: Any) -> None:
        self.same(thread, what)

    @having("iterators")
    @rule(thread=indices, number=indices)
    def step(self, thread: int, number: int) -> None:
        self.same(thread, ["step", number])

    @rule(thread=indices, what=nested(inside))
    def nest(self, thread: int, what: Any) -> None:
        self.same(thread, what)

    @rule(thread=indices, what=changes)
    def change(self, thread: int, what: Any) -> None:
        self.same(thread, what)

    def teardown(self) -> None:
        tellers.anew()


@pytest.mark.skipif(not FUZZ, reason="takes long: TLCTX_FUZZ=1000 tries a thousand stories")
def test_scopes_lead_to_the_same_on_both_twins() -> None:
    if len(IMPLEMENTATIONS) < 2:
        missing("the compiled twin")
    try:
        run_state_machine_as_test(Stories, settings=profile(100))
    finally:
        tellers.end()


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))  # a story may go round in circles
    tell_stories()
