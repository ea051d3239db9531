"""A WSGI app without a framework: `python examples/plain_wsgi.py`, or `gunicorn --chdir examples plain_wsgi`."""

import sys
from wsgiref.simple_server import make_server

from tlctx import ContextMiddleware, ctx


def greeting() -> str:  # nobody handed it the request
    return f"Hello, {ctx.user}!\n"


def app(environ, start_response):  # type: ignore[no-untyped-def]
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    return [greeting().encode()]


application = ContextMiddleware(app, ctx, lambda environ: {"user": environ["PATH_INFO"].strip("/") or "stranger"})

if __name__ == "__main__":
    with make_server("127.0.0.1", int(sys.argv[1]) if sys.argv[1:] else 8000, application) as server:
        print(f"Try http://127.0.0.1:{server.server_port}/ann and stop me with Ctrl-C.", flush=True)
        server.serve_forever()
