"""Where the token comes from: a file, the environment, or whoever sits at the terminal."""

from __future__ import annotations

import getpass
import os
import sys
from pathlib import Path

from tlctx._top.client import TopError

__all__ = ["VARIABLE", "find_token"]

VARIABLE = "TLCTX_TOKEN"
"""The environment variable."""


def find_token(file: str | None) -> str | None:
    """The token, or None where there is none to be had: an application can let people in by other means."""
    if file is not None:
        try:
            token = Path(file).read_text(encoding="ascii").strip()
        except (OSError, ValueError) as error:
            raise TopError(f"The token can't be read from {file}: {_reason(error)}.") from None
    elif VARIABLE in os.environ:
        token = os.environ[VARIABLE].strip()
    elif sys.stdin.isatty():
        token = getpass.getpass("Token: ").strip()
    else:
        return None
    if not (token.isascii() and token.isprintable()):
        raise TopError("The token has characters that no header can have.")
    return token or None


def _reason(error: OSError | ValueError) -> str:
    return str(error.strerror) if isinstance(error, OSError) else "it is not ASCII"
