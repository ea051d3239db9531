"""The route of a request, which logs and metrics name it by: while it is served, and when it is over."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from itertools import count
from types import SimpleNamespace
from typing import Any

import flask
import pytest
from flask import Blueprint, Flask, stream_with_context
from support.asgi import ctx, http_scope, serve, websocket_scope, within
from support.helpers import Boom
from werkzeug.test import Client

from tlctx import ContextMiddleware, Scope
from tlctx._routes import observers, route_of
from tlctx.flask import TLCtx
from tlctx.lowlevel import Observer, add_observer, remove_observer


class Routes(Observer):
    """Notes the route of each request as it ends."""

    def __init__(self) -> None:
        self.sources: dict[int, Any] = {}
        self.ended: list[str | None] = []

    def begin(self, scope: Scope) -> None:
        self.sources[scope.serial] = scope.source
        assert route_of(scope.source) is None

    def end(self, scope: Scope, error: BaseException | None) -> None:
        self.ended.append(route_of(self.sources.pop(scope.serial)))


@pytest.fixture
def routes() -> Iterator[Routes]:
    observer = Routes()
    add_observer(observer)
    yield observer
    remove_observer(observer)


def current_route() -> str:
    """The route of the request that is served here, as others see it meanwhile."""
    scope = Scope.current(ctx)
    assert scope is not None
    return str(route_of(scope.source))


def flask_app() -> Flask:
    app = Flask("notes")
    blueprint = Blueprint("api", "api", url_prefix="/api")
    app.add_url_rule("/notes/<int:number>", "note", lambda number: current_route())

    @app.get("/rows/<name>")
    def rows(name: str) -> Any:
        return flask.Response(row for row in [current_route(), "last"])

    @app.get("/kept/<name>")
    def kept(name: str) -> Any:
        return flask.Response(stream_with_context(row for row in ["first", "last"]))

    @app.get("/fails/<name>")
    def fails(name: str) -> Any:
        raise Boom(current_route())

    @blueprint.get("/users/<name>")
    def user(name: str) -> str:
        return current_route()

    app.register_blueprint(blueprint)
    return app


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/notes/7", "/notes/<int:number>"),
        ("/rows/7", "/rows/<name>"),
        ("/kept/7", "/kept/<name>"),
        ("/api/users/ann", "/api/users/<name>"),
        ("/nothing/here", None),
    ],
)
def test_of_flask_it_is_the_rule_also_once_flask_has_let_go_of_the_request(
    path: str, route: str | None, routes: Routes
) -> None:
    app = flask_app()
    TLCtx(app)
    response = app.test_client().get(path, buffered=True)
    assert response.text.startswith(route or "<!doctype html>") or path.startswith("/kept")
    assert routes.ended == [route]


@pytest.mark.parametrize("propagates", [True, False])
def test_of_flask_it_is_the_rule_where_the_view_fails(propagates: bool, routes: Routes) -> None:
    app = flask_app()
    TLCtx(app)
    app.config["PROPAGATE_EXCEPTIONS"] = propagates
    app.logger.disabled = True
    if propagates:
        with pytest.raises(Boom, match="/fails/<name>"):
            app.test_client().get("/fails/now")
    else:
        assert app.test_client().get("/fails/now").status_code == 500
    assert routes.ended == ["/fails/<name>"]


@pytest.fixture
def no_observers() -> Iterator[None]:
    others = list(observers)  # of other tests: that of tlctx.headers stays
    observers.clear()
    yield
    observers.extend(others)


@pytest.mark.usefixtures("no_observers")
def test_nobody_notes_it_where_nobody_observes() -> None:
    app, environs = flask_app(), []

    def noting(environ: Any, start_response: Any) -> Any:
        environs.append(environ)
        return wsgi_app(environ, start_response)

    TLCtx(app)
    wsgi_app, app.wsgi_app = app.wsgi_app, noting  # type: ignore[method-assign]
    assert app.test_client().get("/notes/7").text == "/notes/<int:number>"
    assert "tlctx.route" not in environs[0]


def test_of_flask_without_the_extension_it_is_known_while_a_view_runs(routes: Routes) -> None:
    application = ContextMiddleware(flask_app().wsgi_app, ctx)
    assert Client(application).get("/notes/7", buffered=True).text == "/notes/<int:number>"
    assert routes.ended == [None]


def starlette_app() -> Any:
    routing = importlib.import_module("starlette.routing")
    responses = importlib.import_module("starlette.responses")

    async def view(request: Any) -> Any:
        return responses.PlainTextResponse(current_route())

    async def fails(request: Any) -> Any:
        raise Boom(current_route())

    async def chat(websocket: Any) -> None:
        await websocket.accept()
        await websocket.close()

    async def file(scope: Any, receive: Any, send: Any) -> None:
        await responses.PlainTextResponse("content")(scope, receive, send)

    inner = [routing.Route("/users/{name}", view), routing.Mount("/deep/{depth}", routes=[routing.Route("/{x}", view)])]
    return importlib.import_module("starlette.applications").Starlette(
        routes=[
            routing.Route("/notes/{number:int}", view),
            routing.Route("/fails/{name}", fails),
            routing.WebSocketRoute("/chat/{name}", chat),
            routing.Mount("/api/{tenant}", routes=inner),
            routing.Mount("/static", file),
        ]
    )


@pytest.mark.parametrize(
    ("path", "root_path", "route"),
    [
        ("/notes/7", "", "/notes/{number:int}"),
        ("/behind/proxy/notes/7", "/behind/proxy", "/notes/{number:int}"),
        ("/api/acme/users/ann", "", "/api/{tenant}/users/{name}"),
        ("/api/acme/deep/3/x", "", "/api/{tenant}/deep/{depth}/{x}"),
        ("/static/logo.png", "", "/static"),
        ("/nothing", "", None),
    ],
)
def test_of_starlette_it_is_the_path_with_those_of_the_mounts(
    path: str, root_path: str, route: str | None, routes: Routes
) -> None:
    pytest.importorskip("starlette", reason="needs Starlette")
    exchange = serve(within(starlette_app()), http_scope(path, root_path=root_path))
    assert exchange.body.decode() in (route, "Not Found", "content")
    assert routes.ended == [route]


def test_of_starlette_it_is_the_path_where_the_view_fails_and_of_a_websocket(routes: Routes) -> None:
    pytest.importorskip("starlette", reason="needs Starlette")
    with pytest.raises(Boom, match=r"/fails/\{name\}"):
        serve(within(starlette_app()), http_scope("/fails/now"))
    serve(within(starlette_app()), websocket_scope("/chat/ann"), {"type": "websocket.connect"})
    assert routes.ended == ["/fails/{name}", "/chat/{name}"]


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/notes/7", "/notes/{number}"),
        ("/v1/api/users/ann", "/v1/api/users/{name}"),
        ("/sub/acme/users/ann", "/sub/{tenant}/users/{name}"),
    ],
)
def test_of_fastapi_it_is_the_path_with_the_prefixes_of_routers(path: str, route: str, routes: Routes) -> None:
    fastapi = pytest.importorskip("fastapi", reason="needs FastAPI")
    app, other, router = fastapi.FastAPI(), fastapi.FastAPI(), fastapi.APIRouter(prefix="/api")
    app.get("/notes/{number}")(current_route)
    router.get("/users/{name}")(current_route)
    app.include_router(router, prefix="/v1")
    other.get("/users/{name}")(current_route)
    app.mount("/sub/{tenant}", other)
    assert serve(within(app), http_scope(path)).body.decode() == f'"{route}"'
    assert routes.ended == [route]


def test_of_an_application_that_is_mounted_in_itself_it_is_found_too() -> None:
    mount = SimpleNamespace(path="/again", routes=[])
    mount.routes.append(mount)
    other, router = SimpleNamespace(path="/again"), SimpleNamespace(routes=[mount])
    scope = {"route": other, "router": router, "root_path": "/again", "app_root_path": ""}
    assert route_of(scope) == "/again"


def test_of_django_it_is_the_route_of_the_match(routes: Routes) -> None:
    conf = pytest.importorskip("django.conf", reason="needs Django")
    if not conf.settings.configured:
        conf.settings.configure(ALLOWED_HOSTS=["*"], LOGGING_CONFIG=None, SECRET_KEY="of a test")
    http, urls = importlib.import_module("django.http"), importlib.import_module("django.urls")
    patterns = (
        urls.path("notes/<int:number>", lambda request, number: http.HttpResponse(current_route())),
        urls.path("rows/<name>", lambda request, name: http.StreamingHttpResponse([b"rows"])),
    )
    changed = importlib.import_module("django.test.utils").override_settings(
        ROOT_URLCONF=patterns, MIDDLEWARE=["tlctx.django.AsyncViewMiddleware"]
    )
    with changed:
        application = ContextMiddleware(importlib.import_module("django.core.wsgi").get_wsgi_application(), ctx)
        assert Client(application).get("/notes/7", buffered=True).text == "notes/<int:number>"
        assert Client(application).get("/rows/7", buffered=True).text == "rows"
        assert Client(application).get("/nothing", buffered=True).status_code == 404
    assert routes.ended == ["notes/<int:number>", "rows/<name>", None]


class Hostile:
    """A request whose every attribute raises."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)


@pytest.mark.parametrize(
    "source",
    [
        None,
        "GET /",
        {},
        Hostile(),
        {"werkzeug.request": None},
        {"werkzeug.request": Hostile()},
        {"werkzeug.request": SimpleNamespace(url_rule=Hostile())},
        {"route": Hostile()},
        {"route": "text", "router": None},
        {"fastapi": 7, "route": object()},
        {"tlctx.route": 7},
        {"tlctx.django.request": lambda: None},
    ],
    ids=count(),
)
def test_where_there_is_none_it_is_none_and_no_error(source: Any) -> None:
    assert route_of(source) is None
