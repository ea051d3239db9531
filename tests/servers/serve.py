"""Serves the app under test with a server that is a library: `python -m servers.serve NAME PORT [patch-late]`.

With "patch-late", gevent patches after tlctx was imported and before the server is.
"""

from __future__ import annotations

import logging
import signal
import socket
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
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


def tornado(app: Any, port: int, *, executor: Any = None) -> None:
    import asyncio

    from tornado.httpserver import HTTPServer
    from tornado.wsgi import WSGIContainer

    async def serve() -> None:
        HTTPServer(WSGIContainer(app, executor)).listen(port, "127.0.0.1")
        await asyncio.Event().wait()

    logging.getLogger("tornado.access").setLevel(logging.INFO)
    asyncio.run(serve())


def tornado_executor(app: Any, port: int) -> None:
    with ThreadPoolExecutor(1) as executor:
        tornado(app, port, executor=executor)


def twisted(app: Any, port: int) -> None:
    from twisted import logger
    from twisted.web.server import Site
    from twisted.web.wsgi import WSGIResource

    class LoggingSite(Site):  # type: ignore[misc]
        def log(self, request: Any) -> None:
            log(request.uri.decode())

    begin: Any = logger.globalLogBeginner.beginLoggingTo
    begin([logger.textFileLogObserver(sys.stderr)], redirectStandardIO=False)
    reactor: Any = import_module("twisted.internet.reactor")
    pool = reactor.getThreadPool()
    pool.adjustPoolsize(1, 1)
    site: Any = LoggingSite
    resource: Any = WSGIResource
    reactor.listenTCP(port, site(resource(reactor, pool, app)), interface="127.0.0.1")
    reactor.run()


def uvicorn(app: Any, port: int) -> None:
    import uvicorn
    from a2wsgi import WSGIMiddleware

    logging.getLogger("uvicorn.access").setLevel(logging.INFO)
    served: Any = WSGIMiddleware(app, workers=1)
    uvicorn.run(served, port=port, log_config=None, lifespan="off", timeout_graceful_shutdown=3)


def bjoern(app: Any, port: int) -> None:
    """Its loop runs no Python code while it waits, so a signal's handler would wait for a request: this makes one."""
    received, sent = socket.socketpair()
    sent.setblocking(False)
    signal.set_wakeup_fd(sent.fileno())

    def wake() -> None:
        received.recv(1)
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"GET /probe HTTP/1.1\r\n\r\n")
            client.recv(1)

    threading.Thread(target=wake, daemon=True).start()
    import_module("bjoern").run(app, "127.0.0.1", port)


def log(path: str) -> None:
    """An access log that raises for the fault of that name."""
    if path.startswith("/access_log_raises"):
        raise OSError("the log is full")


SERVERS = {
    function.__name__: function for function in (
        waitress, werkzeug, werkzeug_threaded, cheroot, wsgiref, tornado, tornado_executor, twisted, uvicorn, bjoern,
    )
}  # fmt: skip


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
