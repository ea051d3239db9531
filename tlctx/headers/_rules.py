"""What a header may hold, and how much of it is read. Nothing is split or decoded before its size is known.

The rules are those of W3C Trace Context and W3C Baggage. A baggage of 64 members and 8192 bytes has to be accepted, and
no more is. A tracestate of more than 32 members is invalid. Clients send anything: a request id may hold a line break
that forges a line of a log, where a server lets it pass.
"""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

__all__ = [
    "LONGEST",
    "TooMuchError",
    "baggage_key",
    "is_field_value",
    "is_request_id",
    "is_token",
    "new_request_id",
    "split_baggage",
    "the_traceparent",
    "tracestate_members",
]

LONGEST = 8192
"""Characters of one header, all repetitions of it together."""
_MOST_BAGGAGE = 64
_MOST_TRACESTATE = 32
_LONGEST_TRACEPARENT = 512

# Each for `fullmatch`: `$` would accept a trailing newline. All are ASCII, and no character can match in two ways.
_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_SPACE = r"[ \t]*+"
_VALUE = r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*+"
_PROPERTY = rf"{_SPACE};{_SPACE}{_TOKEN}{_SPACE}(?:={_SPACE}{_VALUE})?+"

_token = re.compile(_TOKEN)
_request_id = re.compile(r"[A-Za-z0-9._-]{1,128}")
_traceparent = re.compile(r"[ \t]*+[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(?:-[\x21-\x7e]*+)?[ \t]*+")
_tracestate_member = re.compile(
    r"(?:[a-z][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13})"
    r"=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
)
_baggage_member = re.compile(rf"({_TOKEN}){_SPACE}={_SPACE}{_VALUE}(?:{_PROPERTY})*+")
_field_value = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")


class TooMuchError(Exception):
    """A header is longer, or has more members, than is read."""


def is_request_id(value: object) -> bool:
    """Whether it is safe in a log line, in a header, and as part of a file's name."""
    return isinstance(value, str) and _request_id.fullmatch(value) is not None


def new_request_id() -> str:
    """A request id that nobody else has."""
    return uuid.uuid4().hex


def is_token(name: object) -> bool:
    """Whether it can be the name of a header, or the key of a baggage member."""
    return isinstance(name, str) and _token.fullmatch(name) is not None


def is_field_value(value: str) -> bool:
    """Whether it can be a header's value: printable ASCII, without spaces at its ends."""
    return len(value) <= LONGEST and _field_value.fullmatch(value) is not None


def the_traceparent(values: Collection[str]) -> str | None:
    """The header, if there is one alone and it has the fields of one; what they may hold, the propagator knows."""
    for value in values if len(values) == 1 else ():
        if len(value) <= _LONGEST_TRACEPARENT and _traceparent.fullmatch(value):
            return value
    return None


def tracestate_members(values: Iterable[str]) -> list[str] | None:
    """The members of all headers in their order; None if they break a rule: the whole is invalid then."""
    try:
        members = list(_split(values, _MOST_TRACESTATE))
    except TooMuchError:
        return None
    keys = {member.partition("=")[0] for member in members}
    valid = len(keys) == len(members) and all(_tracestate_member.fullmatch(member) for member in members)
    return members if valid else None


def split_baggage(values: Iterable[str]) -> tuple[list[str], bool]:
    """The valid members of all headers, as they came, and whether that is all there is."""
    kept: list[str] = []
    complete = True
    try:
        for member in _split(values, _MOST_BAGGAGE):
            if _baggage_member.fullmatch(member):
                kept.append(member)
            else:
                complete = False
    except TooMuchError:
        complete = False
    return kept, complete


def baggage_key(member: str) -> str:
    """The key of a valid member."""
    return member.partition("=")[0].rstrip(" \t")


def _split(values: Iterable[str], most: int) -> Iterator[str]:
    """The members that are not empty, one at a time. Raises TooMuchError where it would have to read too much."""
    left, count = LONGEST + 1, 0  # beside each member, a comma
    for value in values:
        start = 0
        while start <= len(value):
            end = value.find(",", start, start + left)
            if end < 0:
                end = len(value)
            left -= end - start + 1
            if left < 0:
                raise TooMuchError
            member = value[start:end].strip(" \t")
            start = end + 1
            if member:
                count += 1
                if count > most:
                    raise TooMuchError
                yield member
