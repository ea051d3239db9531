"""What the live view answers, whoever mounts it: headers, methods, addresses, and nothing of its own requests."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest
from support.asgi import http_scope, serve, websocket_scope
from support.inspecting import BEARER, Answer, Ctx, inspecting, open_request
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from tlctx import ContextMiddleware
from tlctx.asgi import ContextMiddleware as ASGIMiddleware
from tlctx.inspector import BOUNDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tlctx.inspector import Inspector

PROTECTION = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
TIMES = {"name", "count", "failed", "seconds", "buckets"}


@pytest.fixture
def ctx() -> Ctx:
    return Ctx()


@pytest.fixture
def inspector(ctx: Ctx) -> Iterator[Inspector]:
    with inspecting(ctx) as inspector:
        yield inspector


def hello(environ: Any, start_response: Any) -> Any:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


def test_each_answer_forbids_caching_framing_and_other_hosts(inspector: Inspector) -> None:
    paths = ("/requests.json", "/stack.json?id=a:1:1", "/nothing", "", "/", "/.", "/../_access.py")
    for path, authorization in itertools.product(paths, (BEARER, None)):
        answer = Answer(inspector, path, authorization)
        assert answer.headers.items() >= PROTECTION.items()
        assert answer.headers["Content-Length"] == str(len(answer.body))
        assert not answer.headers.keys() & {"Set-Cookie", "Access-Control-Allow-Origin"}


def test_the_json_has_what_the_page_shows(ctx: Ctx, inspector: Inspector) -> None:
    body = open_request(ctx)
    next(body)
    shown = Answer(inspector)
    assert shown.headers["Content-Type"] == "application/json"
    assert shown.json.keys() == {
        "taken", "processes", "open", "recent", "slowest", "failed", "bounds", "routes", "truncated", "trouble",
    }  # fmt: skip
    assert shown.json["bounds"] == list(BOUNDS)
    assert shown.json["open"][0].keys() == {
        "id", "process", "serial", "method", "path", "label", "route", "thread", "began", "age", "state", "chunks",
        "fields", "values", "trace",
    }  # fmt: skip
    assert shown.json["processes"][0].keys() == {
        "id", "host", "pid", "seen", "reached", "open", "begun", "failed", "dropped_bodies", "failed_teardowns",
    }  # fmt: skip
    body.close()
    over = Answer(inspector).json
    for finished in (over["recent"], over["slowest"]):
        assert finished[0].keys() == {
            "id", "process", "serial", "method", "path", "label", "route", "thread", "began", "duration", "error",
        }  # fmt: skip
    assert over["routes"][0].keys() == TIMES
    assert len(over["routes"][0]["buckets"]) == len(BOUNDS) + 1


def test_it_can_be_read_and_nothing_else(inspector: Inspector) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "get", "X\u00e9"):
        answer = Answer(inspector, REQUEST_METHOD=method)
        assert (answer.status, answer.headers["Allow"]) == ("405 Method Not Allowed", "GET, HEAD")


def test_the_answer_to_head_is_that_to_get_without_its_body(inspector: Inspector) -> None:
    got, head = Answer(inspector, "/nothing"), Answer(inspector, "/nothing", REQUEST_METHOD="HEAD")
    assert (head.status, head.headers, head.body) == (got.status, got.headers, b"")


def test_a_file_outside_of_the_page_is_never_given_out(inspector: Inspector) -> None:
    for path in ("/_access.py", "/../_access.py", "//etc/passwd", "/__init__.py", "/a/b", "/%2e%2e/_access.py", "/\0"):
        assert Answer(inspector, path).status == "404 Not Found"


def test_without_its_last_slash_the_mount_leads_to_the_page(ctx: Ctx, inspector: Inspector) -> None:
    answer = Answer(inspector.mount(hello, "/ops/live view"), "/ops/live view")
    assert (answer.status, answer.headers["Location"]) == ("308 Permanent Redirect", "live%20view/")


def test_a_mount_takes_its_own_path_and_leaves_the_rest(inspector: Inspector) -> None:
    app = inspector.mount(hello, "/ops/requests")
    assert Answer(app, "/ops/requests/requests.json").json["open"] == []
    for path in ("/", "/ops", "/ops/requestsjson", "/ops/requests2/requests.json", "/x/ops/requests/", ""):
        assert Answer(app, path, None).body == b"hello"
    for wrong in ("requests", "/requests/", "/", ""):
        with pytest.raises(ValueError, match="begins with a slash and ends with none"):
            inspector.mount(hello, wrong)


def test_werkzeugs_dispatcher_can_mount_it(inspector: Inspector) -> None:
    app = DispatcherMiddleware(hello, {"/requests": inspector})
    assert Answer(app, "/requests/requests.json").json["open"] == []
    assert Answer(app, "/requests").headers["Location"] == "requests/"
    assert Answer(app, "/", None).body == b"hello"


def test_its_own_requests_are_not_shown_wherever_it_is_mounted(ctx: Ctx, inspector: Inspector) -> None:
    outside = inspector.mount(ContextMiddleware(hello, ctx), "/requests")
    inside = ContextMiddleware(inspector.mount(hello, "/requests"), ctx)
    for app in (outside, inside):
        for authorization in (BEARER, None):
            Answer(app, "/requests/requests.json", authorization)
        shown = Answer(app, "/requests/requests.json").json
        assert (shown["open"], shown["recent"], shown["routes"]) == ([], [], [])
        assert shown["processes"][0]["begun"] == 0
    Answer(inside, "/", None)
    assert [each["path"] for each in Answer(inside, "/requests/requests.json").json["recent"]] == ["/"]


def test_under_asgi_it_answers_the_same(ctx: Ctx, inspector: Inspector) -> None:
    authorization = {"headers": [(b"authorization", BEARER.encode())]}
    exchange = serve(inspector.asgi, http_scope("/requests.json", **authorization))
    assert exchange.status == 200
    headers = dict(exchange.sent[0]["headers"])
    assert headers[b"content-type"] == b"application/json"
    assert {name.lower().encode(): value.encode() for name, value in PROTECTION.items()}.items() <= headers.items()
    mounted = http_scope("/ops/requests.json", root_path="/ops", **authorization)
    assert serve(inspector.asgi, mounted).body.startswith(b'{"taken":')
    apart = http_scope("/requests.json", root_path="/req", **authorization)  # some servers leave it out of the path
    assert serve(inspector.asgi, apart).body.startswith(b'{"taken":')
    head = serve(inspector.asgi, http_scope("/requests.json", method="HEAD", **authorization))
    assert (head.status, head.body) == (200, b"")
    posted = serve(inspector.asgi, http_scope("/requests.json", method="POST", **authorization))
    assert posted.status == 405


def test_under_asgi_its_own_requests_are_not_shown(ctx: Ctx, inspector: Inspector) -> None:
    app = ASGIMiddleware(inspector.asgi, ctx)
    serve(app, http_scope("/requests.json", headers=[(b"authorization", BEARER.encode())]))
    view = inspector.look()
    assert (view.open, view.recent) == ([], [])


def test_under_asgi_it_refuses_a_websocket_and_ignores_the_lifespan(inspector: Inspector) -> None:
    exchange = serve(inspector.asgi, websocket_scope(), {"type": "websocket.connect"})
    assert exchange.sent == [{"type": "websocket.close", "code": 1000}]
    assert serve(inspector.asgi, {"type": "lifespan"}).sent == []
