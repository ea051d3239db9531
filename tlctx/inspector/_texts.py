"""Texts and numbers that came from elsewhere: made short and printable, so that no page or terminal obeys them."""

from __future__ import annotations

import re
from typing import Any

__all__ = ["LONGEST", "shown", "trace_of"]

LONGEST = 500
"""Characters of a path, or of any other text that a client or an application chose."""
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")


def shown(text: str, longest: int = LONGEST) -> str:
    """The text, cut, with an escape sequence in the place of what does not print."""
    text = text[:longest]
    if not text.isprintable():
        text = "".join([each if each.isprintable() else ascii(each)[1:-1] for each in text])[:longest]
    return text


def trace_of(traceparent: Any) -> str | None:
    """The trace id of a `traceparent` header (W3C), or None."""
    match = _TRACEPARENT.fullmatch(traceparent) if isinstance(traceparent, str) and len(traceparent) < 200 else None
    return None if match is None else match[1]
