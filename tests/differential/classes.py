"""Subclasses of a local, with descriptors of every kind on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from differential.values import Payload
from support.helpers import OnlyDeletes, OnlySets

if TYPE_CHECKING:
    from collections.abc import Callable

    from differential.side import Side


def named(error: BaseException) -> BaseException:
    """The error; an AttributeError has a name.

    To one without, the interpreter adds a name and an object as it leaves an attribute access, but from CPython 3.12 on
    not where it runs a Python `__getattribute__` in line.
    """
    if isinstance(error, AttributeError):
        error.name = "a name of its own"
    return error


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
        raise named(AttributeError("from the property's own code"))

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
                raise named(side.failure("from __init__"))

    class Special(base):  # type: ignore[misc]
        vars().update({name: make(side) for name, make in CLASS_ATTRIBUTES.items()})

    class Slotted(Special):
        __slots__ = ("in_slots",)

    class Fallback(Special):
        def __getattr__(self, name: str) -> str:
            if name == "made_up":
                return f"made up {name}"
            raise named(AttributeError(f"no {name!r}"))

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
