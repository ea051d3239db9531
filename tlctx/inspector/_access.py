"""Who may look: by a token in the header `Authorization`, or by what a function of the application says."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["Authorize", "allows", "check_access"]

Authorize = Callable[[Mapping[str, Any]], object]

_SHORTEST = 16
_LONGEST = 2000


def check_access(token: str | None, authorize: Authorize | None) -> None:
    """Raise TypeError or ValueError unless exactly one of both is there and can be used."""
    if (token is None) == (authorize is None):
        raise TypeError("the inspector needs either a token or a function that authorizes: Inspector(ctx, token=...)")
    if authorize is not None and not callable(authorize):
        raise TypeError(f"authorize must be a function of the environ, not {type(authorize).__name__}")
    if token is None:
        return
    if not isinstance(token, str):
        raise TypeError(f"the token must be a str, not {type(token).__name__}")
    if not _SHORTEST <= len(token) <= _LONGEST or not (token.isascii() and token.isprintable() and " " not in token):
        raise ValueError(
            f"the token must have {_SHORTEST} characters or more, of ASCII and no spaces, so that nobody guesses it: "
            "secrets.token_urlsafe() makes one"
        )


def allows(token: str, header: bytes) -> bool:
    """Whether a header `Authorization` has the token: as Bearer, or as the password of Basic."""
    scheme, _, given = header[: 2 * _LONGEST].strip().partition(b" ")
    given = given.strip()
    if scheme.lower() == b"basic":
        try:
            given = base64.b64decode(given, validate=True).partition(b":")[2]
        except binascii.Error:
            return False
    elif scheme.lower() != b"bearer":
        return False
    return hmac.compare_digest(given, token.encode())
