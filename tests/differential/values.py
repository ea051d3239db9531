"""What is stored in a local: values that can be watched, and use it when they go."""

from __future__ import annotations

import sys
import weakref
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable

    from differential.side import Side


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
    "x", "y", "z", "constant", "computed", "broken", "own_error", "visits", "sets", "deletes", "gets", "both",
    "in_slots", "made_up", "given", "method", "of_class", "__init__", "__dict__", "__class__", "",
    "naïve ключ", "a\0b", "\ud800",
    *(f"name_{number}" for number in range(10)),
]  # fmt: skip
names = st.builds(lambda name, form: FORMS[form](name), st.sampled_from(NAMES), st.sampled_from(sorted(FORMS)))
