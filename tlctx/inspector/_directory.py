"""The private directory in which the workers of one server have their sockets.

Workers that load the application after they were forked share nothing but their parent, their user and their settings.
So the name is made of these, by HMAC under the token: all workers find the same one, and nobody who lacks the token can
make it first. Whoever made it, it has to be of this user, and closed to all others: so processes of this user alone can
answer for a worker, or ask one.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import socket
import stat
import sys
import tempfile
from pathlib import Path

__all__ = ["check_private", "private_directory"]


def private_directory(secret: str, what: str, below: str | None) -> Path:
    """The directory, made if it is not there; `what` tells apart those who have one in this process.

    Raises OSError if it can't be made, or is not private.
    """
    shared = (socket.gethostname(), os.geteuid(), os.getppid(), _start_of(os.getppid()), sys.argv, what)
    name = hmac.digest(secret.encode(), repr(shared).encode(), hashlib.sha256).hex()[:24]
    path = Path(below or tempfile.gettempdir()) / f"tlctx-{name}"
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
    check_private(path)
    return path


def check_private(path: Path) -> None:
    """Raise PermissionError if it is no directory of this user's that is closed to others."""
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise PermissionError(f"{path} is no directory that belongs to this user and is closed to all others")


def _start_of(pid: int) -> str:
    """When the process began, where the system tells: another one may have its id later."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
