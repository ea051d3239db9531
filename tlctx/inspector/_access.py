"""Who may look: by a token in the header `Authorization`, or by what a function of the application says."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Callable
from typing import Any

__all__ = ["Access", "Authorize"]

Authorize = Callable[[Any], object]
"""Gets the WSGI environ, or the ASGI scope. Lets in by returning True, and nothing else."""

_SHORTEST = 16
_LONGEST = 1000


class Access:
    """What lets somebody in. Raises TypeError or ValueError unless it is one token, or one function."""

    def __init__(self, token: object, authorize: Authorize | None) -> None:
        if (token is None) == (authorize is None):
            raise TypeError(
                "the inspector needs either a token or a function that authorizes: Inspector(ctx, token=...), or "
                "Inspector(ctx, authorize=...)"
            )
        if authorize is not None and not callable(authorize):
            raise TypeError(f"authorize must be a function of the request, not {type(authorize).__name__}")
        self.authorize = authorize
        self._token = None if token is None else _check_token(token).encode()

    @property
    def secret(self) -> str:
        """What those who share the settings know, and others can't guess; empty if there is no token."""
        return "" if self._token is None else self._token.decode()

    def allows(self, header: bytes) -> bool:
        """Whether a header `Authorization` has the token: as Bearer, or as the password of Basic."""
        scheme, _, given = header[: 4 * _LONGEST].strip().partition(b" ")
        given = given.strip()
        if scheme.lower() == b"basic":
            try:
                given = base64.b64decode(given, validate=True).partition(b":")[2]
            except binascii.Error:
                return False
        elif scheme.lower() != b"bearer":
            return False
        return self._token is not None and hmac.compare_digest(given, self._token)


def _check_token(token: object) -> str:
    if not isinstance(token, str):
        raise TypeError(f"the token must be a str, not {type(token).__name__}")
    if not _SHORTEST <= len(token) <= _LONGEST or not (token.isascii() and token.isprintable() and " " not in token):
        raise ValueError(
            f"the token must have {_SHORTEST} characters or more, of ASCII and without spaces, so that nobody guesses "
            "it: secrets.token_urlsafe() makes one"
        )
    return token
