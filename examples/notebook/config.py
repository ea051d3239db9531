"""Settings: what the environment says, and what is made on the first start."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

__all__ = ["INSTANCE", "inspector_token", "kept_secret", "settings"]

INSTANCE = Path(__file__).resolve().parent / "instance"


def settings() -> dict[str, Any]:
    """The defaults. Anything can also be set in the environment with NOTEBOOK_ before its name."""
    return {
        "DATABASE_URL": os.environ.get("DATABASE_URL") or f"sqlite:///{INSTANCE / 'notebook.sqlite3'}",
        "CELERY_BROKER_URL": os.environ.get("CELERY_BROKER_URL"),  # without one, jobs run in threads of this process
        "SECRET_KEY": os.environ.get("SECRET_KEY"),
        "INSPECTOR_TOKEN": None,  # one is made, kept, and printed when the server starts
        "SESSION_COOKIE_HTTPONLY": True,
        "SESSION_COOKIE_SAMESITE": "Lax",
        "SESSION_COOKIE_SECURE": False,  # NOTEBOOK_SESSION_COOKIE_SECURE=true where there is HTTPS
        "MAX_CONTENT_LENGTH": 256 * 1024,
        "PASSWORD_METHOD": "scrypt",
    }


def kept_secret(path: Path) -> str:
    """The secret kept in that file, made on the first call. Processes that start at the same time agree on one."""
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with NamedTemporaryFile("w", dir=path.parent) as draft:  # only its owner may read it
            draft.write(secrets.token_hex(32))
            draft.flush()
            with suppress(FileExistsError):  # another process was first: its secret counts
                path.hardlink_to(draft.name)
    return path.read_text()


def inspector_token() -> str:
    """The password of the live view, for whoever is not given another."""
    return kept_secret(INSTANCE / "inspector_token")
