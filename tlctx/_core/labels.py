"""What names a request in messages: its number, and a label that its source gives, "GET /notes" for example."""

from __future__ import annotations

from typing import Any

__all__ = ["Origin", "label_text", "name_of"]

_LONGEST = 208
"""Characters of a label that a message shows."""


class Origin:
    """The request that a scope is of, or is a copy of: its number, and what its label is made of."""

    __slots__ = ("label", "serial")

    def __init__(self, serial: int, label: str | tuple[Any, ...]) -> None:
        self.serial = serial
        self.label = label

    def __str__(self) -> str:
        return name_of(self.serial, self)


Label = str | tuple[Any, ...] | Origin
"""A text, or its words; of a scope that was copied, or is a copy, the origin."""


def label_text(label: Label) -> str:
    """What messages show of a label."""
    if isinstance(label, Origin):
        label = label.label
    words = (label,) if isinstance(label, str) else label
    # A path comes from the client: no line break of its gets into a log.
    return " ".join([ascii(word)[1:-1] for word in words if word])[:_LONGEST]


def name_of(serial: int, label: Label) -> str:
    """What messages call the scope of this number."""
    if isinstance(label, Origin) and label.serial != serial:
        return f"job #{serial} of {label}"
    text = label_text(label)
    return f"request #{serial} ({text})" if text else f"scope #{serial}"
