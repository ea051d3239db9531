"""The parts of a scenario's application: its context, its managers, and the bodies that it answers with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from tlctx import RequestContext, per_request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from differential.scenario import Scenario


FAULTS: dict[str, type[BaseException]] = {
    kind.__name__: kind for kind in (ValueError, AttributeError, KeyError, StopIteration, SystemExit, GeneratorExit)
}


class Token:
    """A value that can be watched while it dies."""


class Ctx(RequestContext):
    user: str = "nobody"
    tenant: str
    scenario: ClassVar[Scenario]

    @per_request
    def made(self) -> Any:
        return self.scenario.value("token")

    @per_request
    def finishing(self) -> Iterator[Any]:
        self.scenario.note("finishing begins", self.get("user"))
        try:
            yield self.scenario.value("token")
        except BaseException as error:
            self.scenario.note("finishing learns of", type(error).__name__)
            raise
        finally:
            self.scenario.note("finishing ends", self.get("user"))

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
        if self.scenario.failure is not None:
            raise FAULTS[self.scenario.failure]("from __init__")


class Manager:
    """A context manager that notes its end, and may raise or swallow there."""

    def __init__(self, scenario: Scenario, end: str) -> None:
        self.scenario = scenario
        self.end = end

    def __enter__(self) -> str:
        return "entered"

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> bool:
        self.scenario.note("a manager learns of", getattr(kind, "__name__", None))
        if self.end in FAULTS:
            raise FAULTS[self.end]("from a manager's end")
        return self.end == "swallow"


class Script:
    """The body of a request: a list of commands for each step, and one for its end."""

    def __init__(self, scenario: Scenario, steps: list[Any], end: list[Any]) -> None:
        self.scenario = scenario
        self.steps = steps
        self.end = end

    def generate(self) -> Iterator[bytes]:
        try:
            for number, commands in enumerate(self.steps):
                self.scenario.run(commands)
                yield b"%d" % number
        finally:
            self.scenario.run(self.end)

    def make(self, kind: str, environ: dict[str, Any]) -> Any:
        if kind == "generator":
            return self.generate()
        if kind == "map":
            return map(self.scenario.run, self.steps)
        if kind == "file":
            return environ.get("wsgi.file_wrapper", list)(self)
        kinds = {"iterable": Iterable, "iterator": Iterating, "sized": Sized, "by index": ByIndex}
        return kinds[kind](self) if kind in kinds else {"list": [b"a"], "tuple": (b"a",), "None": None}[kind]


class Iterable:
    def __init__(self, script: Script) -> None:
        self.script = script

    def __iter__(self) -> Any:
        self.script.scenario.note("iter")
        return iter([self.script.scenario.run(commands) for commands in self.script.steps[:1]] + [b"end"])


class Iterating(Iterable):
    left: Any = None

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        self.left = iter(self.script.steps) if self.left is None else self.left
        return self.script.scenario.run(next(self.left))

    def close(self) -> None:
        self.script.scenario.note("close")
        self.script.scenario.run(self.script.end)


class Sized(Iterating):
    def __len__(self) -> int:
        self.script.scenario.run(self.script.end)
        return 2


class ByIndex(Iterable):
    __iter__ = None  # type: ignore[assignment]

    def __getitem__(self, number: int) -> Any:
        return self.script.scenario.run(self.script.steps[number])


class FileWrapper:
    """The file wrapper of a server."""

    def __init__(self, script: Script) -> None:
        self.script = script

    def __iter__(self) -> Any:
        return iter([b"file"])

    def close(self) -> None:
        self.script.scenario.note("the file is closed")
        self.script.scenario.run(self.script.end)


class Sealed(FileWrapper):
    """One that refuses the attribute `close`."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "close":
            raise AttributeError(name)
        super().__setattr__(name, value)


class Environ(dict[str, Any]):
    """An environ that is not exactly a dict."""
