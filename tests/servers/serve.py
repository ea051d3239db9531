"""Serves the app under test with a server that is a library: `python -m servers.serve NAME PORT [patch-late]`.

With "patch-late", gevent patches after tlctx was imported and before the server is.
"""

from __future__ import annotations

import signal
import sys
from typing import Any


def waitress(app: Any, port: int) -> None:
    from waitress import serve

    serve(app, host="127.0.0.1", port=port, threads=1)


def werkzeug(app: Any, port: int, *, threaded: bool = False) -> None:
    from werkzeug.serving import WSGIRequestHandler, run_simple

    class Handler(WSGIRequestHandler):
        def log_request(self, *args: Any) -> None:
            log(self.path)

    run_simple("127.0.0.1", port, app, threaded=threaded, request_handler=Handler)


def werkzeug_threaded(app: Any, port: int) -> None:
    werkzeug(app, port, threaded=True)


def cheroot(app: Any, port: int) -> None:
    from cheroot.wsgi import Server

    Server(("127.0.0.1", port), app, numthreads=1, max=1).safe_start()


def wsgiref(app: Any, port: int) -> None:
    from wsgiref.simple_server import WSGIRequestHandler, make_server

    class Handler(WSGIRequestHandler):
        def log_request(self, *args: Any) -> None:
            log(self.path)

    make_server("127.0.0.1", port, app, handler_class=Handler).serve_forever()


def log(path: str) -> None:
    """An access log that raises for the fault of that name."""
    if path.startswith("/access_log_raises"):
        raise OSError("the log is full")


SERVERS = {function.__name__: function for function in (waitress, werkzeug, werkzeug_threaded, cheroot, wsgiref)}


def stop(*_: object) -> None:
    raise SystemExit(0)  # the default action would end the process at once


def main(name: str, port: str, *options: str) -> None:
    from servers.app import application

    if "patch-late" in options:
        from gevent import monkey

        monkey.patch_all()
    signal.signal(signal.SIGTERM, stop)
    SERVERS[name](application, int(port))


if __name__ == "__main__":
    main(*sys.argv[1:])
