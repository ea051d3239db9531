"""Asks a live view for what it shows, and says in words why it can't."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from http.client import HTTPException, HTTPMessage
from typing import IO, Any
from urllib.parse import urlsplit, urlunsplit

from tlctx._top.texts import clean

__all__ = ["Client", "RefusedError", "TopError", "checked_address"]

PATIENCE = 10.0
MOST_BYTES = 50_000_000


class TopError(Exception):
    """What went wrong, in a sentence for whoever started the program."""


class RefusedError(TopError):
    """The server wants another token."""


def checked_address(address: str) -> str:
    """The address of the folder in which the view is; TopError if it can't be one, or has a password in it."""
    try:
        parts = urlsplit(address)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise TopError("The address has to begin with http:// or https://, and to name a host.")
    if "@" in parts.netloc:
        raise TopError(
            "The address has a password in it, which others can read in the list of processes. Set TLCTX_TOKEN instead."
        )
    path = parts.path.removesuffix("requests.json")
    return urlunsplit((parts.scheme, parts.netloc, path if path.endswith("/") else f"{path}/", "", ""))


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect would take the token to another server."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        raise TopError(f"The server redirects to {clean(newurl)}: give that address if you trust it.")


class Client:
    """Somebody who asks one live view; the token goes to that server alone."""

    def __init__(self, address: str, token: str | None) -> None:
        self.address = address
        self._headers = {"Accept": "application/json", "User-Agent": "tlctx top"}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"
        self._opener = urllib.request.build_opener(_NoRedirects)

    def ask(self) -> dict[str, Any]:
        """What the view shows now; TopError if that can't be had."""
        asked = urllib.request.Request(f"{self.address}requests.json", headers=self._headers)
        try:
            with self._opener.open(asked, timeout=PATIENCE) as answer:
                return _checked(answer.read(MOST_BYTES))
        except urllib.error.HTTPError as error:
            error.close()
            raise _error_of(error.code, "Authorization" in self._headers) from None
        except urllib.error.URLError as error:
            reason = getattr(error.reason, "strerror", None) or error.reason
            raise TopError(f"The server can't be reached: {clean(reason)}.") from None
        except TimeoutError:
            raise TopError(f"The server has not answered for {PATIENCE:g} s.") from None
        except (OSError, HTTPException) as error:
            raise TopError(f"The server can't be understood: {clean(str(error) or type(error).__name__)}.") from None


def _error_of(status: int, with_token: bool) -> TopError:
    if status in (401, 403):
        if with_token:
            return RefusedError("The token is refused.")
        return RefusedError("The server wants a token: set TLCTX_TOKEN, or name a file with --token-file.")
    if status == 404:
        return TopError("There is no live view at this address (status 404).")
    return TopError(f"The server answers with an error (status {status}).")


def _checked(body: bytes) -> dict[str, Any]:
    lists = ("processes", "open", "trouble")
    try:
        picture = json.loads(body)
        is_one = all(isinstance(picture[name], list) for name in lists) and isinstance(picture["truncated"], int)
    except (ValueError, KeyError, TypeError, RecursionError):
        is_one = False
    if not is_one:
        raise TopError("What answers at this address is no live view of tlctx.")
    return picture  # type: ignore[no-any-return]
