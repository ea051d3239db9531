"""Serves WSGI scripts with Apache and mod_wsgi: `python -m servers.apache PORT GROUP [PATH=GROUP]... [NAME=VALUE]...`.

The app under test is served at the root, in the application group GROUP: that is the name of its interpreter, and
"%{GLOBAL}" is the process's main one. "PATH=GROUP" serves the same at a path in another one. "own-gil=On" has each
interpreter but the main one take a GIL of its own, "script=FILE" serves another app, and all other options are those of
WSGIDaemonProcess.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from importlib import import_module
from pathlib import Path
from typing import Any

from servers.server_table import APP, TESTS

CONFIGURATION = """
ServerRoot "{here}"
ServerName localhost
Listen 127.0.0.1:{port}
PidFile "{here}/pid"
ErrorLog "{here}/log"
LogLevel warn
LoadModule mpm_event_module "{modules}/mod_mpm_event.so"
LoadModule authz_core_module "{modules}/mod_authz_core.so"
LoadModule wsgi_module "{wsgi}"
StartServers 1
ServerLimit 1
ThreadsPerChild 25
MaxRequestWorkers 25
KeepAliveTimeout 1
WSGISocketPrefix "{here}/wsgi"
WSGIRestrictEmbedded On
WSGIDaemonProcess tests home="{here}" python-home="{prefix}" python-path="{tests}:{packages}" {options}
WSGIProcessGroup tests
{rest}
<Location />
Require all granted
</Location>
"""
UNPRIVILEGED = [
    "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=+dac_override",
    "--ambient-caps=+dac_override", "--",
]  # fmt: skip
"""Apache serves nothing as root; this is another user, who may read and write what root may."""


def apxs() -> Any:
    """What mod_wsgi knows of the Apache that it was built for."""
    return import_module("mod_wsgi.express.apxs_config")


def configuration(port: str, group: str, options: dict[str, str]) -> str:
    """Apache's configuration file, for a server whose files are all in the current folder."""
    (module,) = Path(import_module("mod_wsgi.server").__path__[0]).glob("*.so")
    here = Path.cwd()
    script = options.pop("script", str(here / "app.wsgi"))
    gil = options.pop("own-gil", "")
    groups = {path: options.pop(path) for path in list(options) if path.startswith("/")} | {"/": group}
    lines = [f'WSGIScriptAlias {path} "{script}" application-group={name}' for path, name in groups.items()]
    return CONFIGURATION.format(
        here=here, port=port, modules=apxs().LIBEXECDIR, wsgi=module, prefix=sys.base_prefix, tests=TESTS,
        packages=sysconfig.get_path("purelib"), options=" ".join(f"{name}={value}" for name, value in options.items()),
        rest="\n".join([*lines, *([f"WSGIPerInterpreterGIL {gil}"] if gil else [])]),
    )  # fmt: skip


def main(port: str, group: str, *options: str) -> None:
    module, name = APP.split(":")
    Path("app.wsgi").write_text(f"from {module} import {name}\n")
    file = Path("httpd.conf").absolute()
    file.write_text(configuration(port, group, dict(option.split("=", 1) for option in options)))
    command = [*(UNPRIVILEGED if os.geteuid() == 0 else ()), apxs().HTTPD, "-D", "FOREGROUND", "-f", str(file)]
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(*sys.argv[1:])
