"""A real PostgreSQL server for tests, in a directory of its own, listening on a local socket only."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from support.helpers import PATIENCE, missing

if TYPE_CHECKING:
    from collections.abc import Iterator


def programs() -> Path:
    """The directory of the newest server that is installed; Debian keeps it off the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("initdb")
    if not found and on_path is None:
        missing("a PostgreSQL server: Debian's package is named postgresql")
    return found[-1].parent if found else Path(str(on_path)).parent


def run(command: list[str], owner: int) -> None:
    # initdb refuses to run as root; the package's own user may.
    subprocess.run(command, check=True, user=owner, capture_output=True, cwd="/", timeout=PATIENCE)


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """The address of a new, empty server."""
    bin_directory = programs()
    owner = pwd.getpwnam("postgres").pw_uid if os.getuid() == 0 else os.getuid()
    with tempfile.TemporaryDirectory(prefix="pg") as folder:
        os.chown(folder, owner, -1)
        data = f"{folder}/data"
        run([f"{bin_directory}/initdb", "-D", data, "-U", "notebook", "-A", "trust", "-N", "-E", "UTF8"], owner)
        options = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off"
        control = [f"{bin_directory}/pg_ctl", "-D", data, "-w", "-l", f"{folder}/log"]
        run([*control, "-o", options, "start"], owner)
        try:
            yield f"postgresql+psycopg://notebook@/postgres?host={folder}"
        finally:
            run([*control, "-m", "fast", "stop"], owner)
