"""Texts for a terminal: names come from clients, and must not steer it."""

from __future__ import annotations

__all__ = ["clean", "seconds"]


def clean(text: object, longest: int = 400) -> str:
    """The text, cut, with an escape sequence in the place of each character that does not print."""
    return "".join([each if each.isprintable() else ascii(each)[1:-1] for each in str(text)[:longest]])


def seconds(number: float) -> str:
    """A duration as people read it: 340 ms, 4.2 s, 3 min 05 s, 2 h 10 min."""
    if number < 0.9995:
        return f"{max(0, round(number * 1000))} ms"
    if number < 59.95:
        return f"{number:.1f} s"
    whole = round(number)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min"
    return f"{whole // 86400} d {whole % 86400 // 3600:02} h"
