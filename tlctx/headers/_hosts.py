"""The hosts that may get something. What can't be read beyond doubt is not among them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Hosts", "Origin", "origin_of"]

_PORTS = {"http": 80, "https": 443}
# No backslash, no space, one @ at most: parsers differ in which host they find behind such things.
_authority = re.compile(r"(?:[^@\\/?#\s\[\]]*@)?(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")


class Origin(NamedTuple):
    """Where a request goes. The host is in lower case, and in ASCII."""

    scheme: str
    host: str
    port: int | None


def origin_of(url: str) -> Origin | None:
    """The origin of `url`; None if it is not one of HTTP, or not certain."""
    try:
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or not _authority.fullmatch(parts.netloc):
            return None
        return Origin(parts.scheme, parts.hostname or "", parts.port or _PORTS[parts.scheme])
    except ValueError:
        return None


class _Pattern(NamedTuple):
    scheme: str
    host: str
    port: int | None
    below: bool
    """Whether it stands for the hosts below `host`, and not for that."""

    def matches(self, origin: Origin) -> bool:
        host = origin.host.endswith(f".{self.host}") if self.below else origin.host == self.host
        return host and self.scheme in ("", origin.scheme) and self.port in (None, origin.port)


class Hosts:
    """A set of hosts. Raises TypeError or ValueError if `patterns` is no list of them."""

    def __init__(self, patterns: Iterable[str]) -> None:
        if isinstance(patterns, str):
            raise TypeError(f"`to` is a list of hosts: [{patterns!r}]")
        self._patterns = [_read(pattern) for pattern in patterns]

    def __contains__(self, origin: Origin) -> bool:
        return any(pattern.matches(origin) for pattern in self._patterns)


def _read(pattern: str) -> _Pattern:
    scheme, _, authority = pattern.lower().rpartition("://")
    below = authority.startswith("*.")
    host = authority.removeprefix("*.")
    try:
        if not host.isascii():
            name, colon, port = host.partition(":")
            host = f"{name.encode('idna').decode()}{colon}{port}"
        if scheme not in ("", *_PORTS) or "@" in host or not _authority.fullmatch(host):
            raise ValueError
        parts = urlsplit(f"//{host}")
        return _Pattern(scheme, parts.hostname or "", parts.port or _PORTS.get(scheme), below)
    except ValueError:
        raise ValueError(
            f'{pattern!r} is no host: "orders.internal", "localhost:8080", "*.svc.internal" and '
            '"https://orders.internal" are'
        ) from None
