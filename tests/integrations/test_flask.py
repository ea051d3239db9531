"""TLCtx: requests, templates, handled exceptions, async views, app contexts and mounted apps."""

from __future__ import annotations

import asyncio
import gc
import io
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flask
import pytest
from asgiref.sync import ThreadSensitiveContext, sync_to_async
from asgiref.wsgi import WsgiToAsgi
from flask import Flask, abort, g, render_template_string, send_file, stream_with_context
from support.helpers import PATIENCE
from jinja2 import DictLoader
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import StaticPool
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client

import tlctx
from tlctx import OutsideRequestError, RequestContext, Scope, per_request
from tlctx.flask import TLCtx


class Boom(Exception):
    pass


class Ctx(RequestContext):
    user: str = "nobody"
    word: str

    def __init__(self, log: list[Any]) -> None:
        self.log = log

    @per_request
    def work(self) -> Iterator[str]:
        try:
            yield f"work of {self.user}"
        except BaseException as error:
            self.log.append(type(error).__name__)
            raise
        else:
            self.log.append(f"done for {self.user}")


@pytest.fixture
def log() -> list[Any]:
    return []


@pytest.fixture
def ctx(log: list[Any]) -> Ctx:
    return Ctx(log)


@pytest.fixture
def app(ctx: Ctx) -> Iterator[Flask]:
    app = Flask("notes")
    TLCtx(app, ctx, lambda environ: {"user": environ.get("HTTP_X_USER", "nobody")})
    yield app
    gc.collect()
    assert ctx._local__impl.dicts == {}


# Requests


def test_every_request_is_fresh_and_gone_after_it(app: Flask, ctx: Ctx, log: list[Any]) -> None:
    @app.get("/")
    def index() -> str:
        before, ctx.word = ctx.get("word"), "left behind?"
        return f"{ctx.work}, {before}"

    client = app.test_client()
    for user in ("ann", "bob"):
        assert client.get("/", headers={"X-User": user}).text == f"work of {user}, None"
        with pytest.raises(OutsideRequestError):
            _ = ctx.user
    assert log == ["done for ann", "done for bob"]


def test_an_application_factory_uses_init_app_and_one_context_may_serve_many_apps(ctx: Ctx) -> None:
    extension = TLCtx(ctx=ctx)

    def create_app(name: str) -> Flask:
        app = Flask(name)
        extension.init_app(app)
        app.add_url_rule("/", view_func=lambda: f"{flask.current_app.name} {ctx.user}")
        return app

    for app in [create_app("one"), create_app("two")]:
        assert app.test_client().get("/").text == f"{app.name} nobody"


def test_without_a_context_it_is_the_one_at_the_door() -> None:
    app = Flask("plain")
    TLCtx(app)

    @app.get("/")
    def index() -> str:
        tlctx.ctx.user = "ann"
        return render_template_string("{{ ctx.user }}")

    assert app.test_client().get("/").text == "ann"


def test_a_second_time_for_the_same_app_and_a_wrong_context_are_refused(app: Flask, ctx: Ctx) -> None:
    with pytest.raises(RuntimeError, match="<Flask 'notes'> has this context already"):
        TLCtx(app, ctx)
    wrong: Any = Ctx
    with pytest.raises(TypeError, match="give an instance, not the class"):
        TLCtx(Flask("other"), wrong)


def test_templates_and_the_macros_they_import_see_it(app: Flask) -> None:
    app.jinja_loader = DictLoader({"macros.html": "{% macro who() %}{{ ctx.user }}{% endmacro %}"})
    template = "{% from 'macros.html' import who %}{{ ctx.user }} {{ who() }} {{ ctx.word is defined }}"
    app.add_url_rule("/", view_func=lambda: render_template_string(template))
    assert app.test_client().get("/", headers={"X-User": "ann"}).text == "ann ann False"


def test_hooks_and_teardown_functions_of_flask_see_it(app: Flask, ctx: Ctx) -> None:
    seen: list[str] = []

    @app.before_request
    def before() -> None:
        seen.append(f"before {ctx.user}")

    @app.after_request
    def after(response: flask.Response) -> flask.Response:
        seen.append(f"after {ctx.user}")
        return response

    app.teardown_request(lambda _: seen.append(f"teardown {ctx.user}"))
    app.teardown_appcontext(lambda _: seen.append(f"appcontext {ctx.user}"))
    app.add_url_rule("/", view_func=lambda: flask.Response("", headers={}))
    app.test_client().get("/", headers={"X-User": "ann"})
    assert seen == ["before ann", "after ann", "teardown ann", "appcontext ann"]


def test_a_streamed_answer_goes_on_in_its_scope(app: Flask, ctx: Ctx, log: list[Any]) -> None:
    @app.get("/")
    def index() -> Any:
        def rows() -> Iterator[str]:
            for number in range(3):
                yield f"{number} {ctx.work};"

        return rows()

    client = app.test_client()
    first = client.get("/", headers={"X-User": "ann"}, buffered=False)
    assert client.get("/", headers={"X-User": "bob"}).text == "0 work of bob;1 work of bob;2 work of bob;"
    assert first.text == "0 work of ann;1 work of ann;2 work of ann;"
    assert log == ["done for bob"]
    first.close()
    assert log == ["done for bob", "done for ann"]


def test_the_request_has_ended_when_the_test_client_returns(app: Flask, ctx: Ctx, log: list[Any]) -> None:
    app.add_url_rule("/", view_func=lambda: ctx.work)
    with app.test_client() as client:
        answer = client.get("/")
        assert log == ["done for nobody"]
        assert answer.status_code == 200


def test_an_abandoned_stream_that_poisons_flasks_own_context_leaves_ours_alone(
    app: Flask, ctx: Ctx, log: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    @app.get("/stream")
    def stream() -> Any:
        def rows() -> Iterator[str]:
            yield ctx.work
            yield "never taken"

        return app.response_class(stream_with_context(rows()))

    app.add_url_rule("/", view_func=lambda: ctx.user)

    def abandon() -> None:
        client = app.test_client()
        answer: Any = client.get("/stream", headers={"X-User": "ann"}, buffered=False)
        next(answer.iter_encoded())
        del answer
        gc.collect()
        assert client.get("/", headers={"X-User": "bob"}).text == "bob"

    thread = threading.Thread(target=abandon)
    thread.start()
    thread.join(PATIENCE)
    assert "the server dropped its body without close()" in caplog.text
    assert len(log) == 1


def test_a_file_is_sent(app: Flask, ctx: Ctx, log: list[Any]) -> None:
    app.add_url_rule("/", view_func=lambda: ctx.work and send_file(io.BytesIO(b"content"), "text/plain"))
    answer = app.test_client().get("/")
    assert (answer.data, answer.content_length) == (b"content", 7)
    assert log == ["done for nobody"]


def test_a_request_made_inside_a_view_gets_its_own_scope(app: Flask, ctx: Ctx) -> None:
    app.add_url_rule("/inner", view_func=lambda: ctx.user)

    @app.get("/")
    def index() -> str:
        inner = app.test_client().get("/inner", headers={"X-User": "bob"}).text
        return f"{ctx.user} asked {inner}"

    assert app.test_client().get("/", headers={"X-User": "ann"}).text == "ann asked bob"


# Exceptions that Flask handled


def failing_app(app: Flask, ctx: Ctx) -> Any:
    @app.get("/<kind>")
    def index(kind: str) -> Any:
        assert ctx.work
        if kind.isdigit():
            abort(int(kind))
        if kind == "returned":
            return "a 500 that nobody raised", 500
        raise {"boom": Boom, "key": KeyError, "exit": SystemExit}[kind]

    app.config["PROPAGATE_EXCEPTIONS"] = False
    return app.test_client()


def test_the_exception_behind_a_500_reaches_the_scope(app: Flask, ctx: Ctx, log: list[Any]) -> None:
    client = failing_app(app, ctx)
    assert client.get("/boom").status_code == 500
    assert client.get("/503").status_code == 503
    assert log == ["Boom", "ServiceUnavailable"]


def test_so_does_one_that_a_handler_of_yours_answers_with_a_500(app: Flask, ctx: Ctx, log: list[Any]) -> None:
    @app.errorhandler(Boom)
    def on_boom(error: Boom) -> Any:
        return {"sorry": ctx.user}, 500

    app.errorhandler(500)(lambda error: ("sorry", 500))
    client = failing_app(app, ctx)
    assert client.get("/boom").json == {"sorry": "nobody"}
    assert client.get("/key").text == "sorry"
    assert log == ["Boom", "KeyError"]


def test_an_answer_below_500_is_no_failure(app: Flask, ctx: Ctx, log: list[Any]) -> None:
    app.errorhandler(KeyError)(lambda error: ("not found", 404))
    client = failing_app(app, ctx)
    assert [client.get(f"/{kind}").status_code for kind in ("key", "404", "403", "returned")] == [404, 404, 403, 500]
    assert log == ["done for nobody"] * 4


def test_an_exception_that_flask_lets_through_reaches_it_too(app: Flask, ctx: Ctx, log: list[Any]) -> None:
    client = failing_app(app, ctx)
    app.config["PROPAGATE_EXCEPTIONS"] = True
    with pytest.raises(Boom):
        client.get("/boom")
    with pytest.raises(SystemExit):
        client.get("/exit")
    assert log == ["Boom", "SystemExit"]


def test_an_exception_in_an_after_request_function_reaches_it(app: Flask, ctx: Ctx, log: list[Any]) -> None:
    client = failing_app(app, ctx)

    @app.after_request
    def after(response: Any) -> Any:
        raise Boom

    assert client.get("/404").status_code == 500
    assert log == ["Boom"]


class SessionCtx(RequestContext):
    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @per_request
    def db(self) -> Iterator[Session]:
        with Session(self.engine) as session, session.begin():
            yield session


def test_a_session_commits_after_a_good_answer_and_rolls_back_on_a_500() -> None:
    engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    ctx = SessionCtx(engine)
    app = Flask("database")
    app.config["PROPAGATE_EXCEPTIONS"] = False
    TLCtx(app, ctx)

    @app.post("/<word>")
    def add(word: str) -> str:
        ctx.db.execute(text("INSERT INTO words VALUES (:word)"), {"word": word})
        if word == "bad":
            raise Boom
        return word

    @app.post("/async/<word>")
    async def add_async(word: str) -> str:
        return await asyncio.to_thread(add, word)

    with app.app_context():
        ctx.db.execute(text("CREATE TABLE words (word TEXT)"))
    client = app.test_client()
    assert [client.post(path).status_code for path in ("/good", "/bad", "/async/fine", "/async/bad")] == [
        200, 500, 200, 500,
    ]  # fmt: skip
    with app.app_context():
        assert ctx.db.execute(text("SELECT word FROM words")).scalars().all() == ["good", "fine"]
    engine.dispose()


# Async views


def test_an_async_view_reads_what_was_set_before_and_what_it_sets_is_read_after(app: Flask, ctx: Ctx) -> None:
    threads: list[Any] = []

    @app.before_request
    async def before() -> None:
        ctx.word = f"{ctx.user} before"

    @app.get("/")
    async def index() -> str:
        threads.append(threading.get_ident())
        word, ctx.word = ctx.word, "set inside"
        await asyncio.sleep(0)
        return f"{word}, {ctx.word}"

    @app.after_request
    def after(response: Any) -> Any:
        threads.append(threading.get_ident())
        response.headers["X-Word"] = ctx.word
        return response

    answer = app.test_client().get("/", headers={"X-User": "ann"})
    assert (answer.text, answer.headers["X-Word"]) == ("ann before, set inside", "set inside")
    assert threads[0] != threads[1], "the view ran on the same thread: this shows nothing"


def test_tasks_and_other_threads_of_an_async_view_share_its_scope(app: Flask, ctx: Ctx) -> None:
    async def one(name: str) -> str:
        await asyncio.sleep(0)
        setattr(ctx, name, f"{name} of {ctx.user}")
        return ctx.user

    def on_another_thread() -> str:
        ctx.thread = threading.get_ident()  # type: ignore[attr-defined]
        return f"{ctx.user}, {ctx.first}"  # type: ignore[attr-defined]

    @app.get("/")
    async def index() -> Any:
        gathered = await asyncio.gather(one("first"), one("second"))
        hopped = await asyncio.to_thread(on_another_thread)
        back = await sync_to_async(lambda: f"{ctx.user}, {ctx.second}")()  # type: ignore[attr-defined]
        assert ctx.thread != threading.get_ident()  # type: ignore[attr-defined]
        return [*gathered, hopped, back, sorted(ctx)]

    answer = app.test_client().get("/", headers={"X-User": "ann"})
    assert answer.json == [
        "ann", "ann", "ann, first of ann", "ann, second of ann", ["first", "log", "second", "thread", "user"],
    ]  # fmt: skip


def test_an_async_views_exception_rolls_back_too(app: Flask, ctx: Ctx, log: list[Any]) -> None:
    app.config["PROPAGATE_EXCEPTIONS"] = False

    @app.get("/")
    async def index() -> str:
        assert ctx.work
        raise Boom

    assert app.test_client().get("/").status_code == 500
    assert log == ["Boom"]


def test_two_async_requests_on_one_shared_event_loop_each_see_their_own(app: Flask, ctx: Ctx) -> None:
    together = asyncio.Barrier(2)

    @app.get("/")
    async def index() -> str:
        found = [ctx.user]
        for _ in range(3):
            await together.wait()
            found.append(ctx.user)
            found.extend(await asyncio.gather(asyncio.to_thread(lambda: ctx.user)))
        return " ".join(found)

    served: Any = WsgiToAsgi(app)  # type: ignore[no-untyped-call]

    async def ask(user: str) -> bytes:
        body = bytearray()
        scope = {
            "type": "http", "method": "GET", "path": "/", "query_string": b"", "http_version": "1.1", "scheme": "http",
            "headers": [(b"x-user", user.encode())], "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 1),
        }  # fmt: skip
        received = iter([{"type": "http.request", "body": b"", "more_body": False}])

        async def receive() -> Any:
            return next(received)

        async def send(message: Any) -> None:
            body.extend(message.get("body", b""))

        async with ThreadSensitiveContext():  # a thread for each request, as ASGI servers have it
            await served(scope, receive, send)
        return bytes(body)

    async def main() -> Any:
        return await asyncio.wait_for(asyncio.gather(ask("ann"), ask("bob")), PATIENCE)

    assert asyncio.run(main()) == [b"ann ann ann ann ann ann ann", b"bob bob bob bob bob bob bob"]


# Outside a request


def test_an_app_context_outside_a_request_has_a_scope(app: Flask, ctx: Ctx, log: list[Any]) -> None:
    with app.app_context():
        assert ctx.work == "work of nobody"
        ctx.user = "script"
        with app.app_context():
            assert ctx.user == "script"
        assert log == []
        app.add_url_rule("/", view_func=lambda: ctx.user)
        assert app.test_client().get("/", headers={"X-User": "ann"}).text == "ann"
        assert ctx.user == "script"
    assert log == ["done for script"]
    with app.test_request_context("/"):
        assert ctx.user == "nobody"


def test_it_learns_of_the_exception_that_ends_it(app: Flask, ctx: Ctx, log: list[Any]) -> None:
    with pytest.raises(Boom), app.app_context():
        assert ctx.work
        raise Boom
    assert log == ["Boom"]


def test_a_command_has_one(app: Flask, ctx: Ctx, log: list[Any]) -> None:
    @app.cli.command("greet")
    def greet() -> None:
        print(ctx.work)  # noqa: T201

    runner = app.test_cli_runner()
    assert runner.invoke(args=["greet"]).output == "work of nobody\n"
    assert log == ["done for nobody"]


def test_the_shell_has_one(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(
        "from flask import Flask\nfrom tlctx import ctx\nfrom tlctx.flask import TLCtx\n"
        "app = Flask('shop')\nTLCtx(app)\n"
        "app.shell_context_processor(lambda: {'ctx': ctx})\n"
    )
    shell = subprocess.run(
        [sys.executable, "-m", "flask", "--app", "shop", "shell"],
        input="ctx.user = 'ann'\nprint('this is', ctx.user, repr(ctx))\n",
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    assert "this is ann <AnyContext in scope #1: user>" in shell.stdout


def test_inside_a_request_an_app_context_joins_the_requests_scope(app: Flask, ctx: Ctx, log: list[Any]) -> None:
    @app.get("/")
    def index() -> str:
        with app.app_context():
            inner = ctx.work
        assert log == []
        return inner

    assert app.test_client().get("/", headers={"X-User": "ann"}).text == "work of ann"
    assert log == ["done for ann"]


def test_a_block_with_the_client_leaves_nothing_open(app: Flask, ctx: Ctx, log: list[Any]) -> None:
    @app.get("/")
    def index() -> str:
        g.kept = ctx.user
        return ctx.work

    with app.test_client() as client:
        for user in ("ann", "bob"):
            client.get("/", headers={"X-User": user})
            assert g.kept == user
            assert log.pop() == f"done for {user}"
            assert ctx.user == "nobody"
    assert Scope.of(ctx) is None


def test_a_teardown_function_that_raises_leaves_no_app_contexts_scope_open(
    app: Flask, ctx: Ctx, log: list[Any]
) -> None:
    other_log: list[Any] = []
    other = Ctx(other_log)
    TLCtx(app, other)

    @app.teardown_appcontext
    def fail(error: BaseException | None) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), app.app_context():
        assert ctx.work
        assert other.work
        ctx.callback(other_log.append, "closed")
    assert (log, other_log) == (["ZeroDivisionError"], ["closed", "ZeroDivisionError"])
    assert Scope.of(ctx) is Scope.of(other) is None


def test_of_two_contexts_both_are_closed_though_the_teardown_of_both_raises(app: Flask, ctx: Ctx) -> None:
    other = Ctx([])
    TLCtx(app, other)

    def fail() -> None:
        raise Boom

    with pytest.raises(Boom), app.app_context():
        ctx.callback(fail)
        other.callback(fail)
    assert Scope.of(ctx) is Scope.of(other) is None


def test_an_init_that_raises_leaves_no_app_context_behind() -> None:
    class Fails(RequestContext):
        def __init__(self) -> None:
            raise Boom

    app = Flask("fails")
    TLCtx(app, Fails())
    with pytest.raises(Boom), app.app_context():
        pass
    assert not flask.has_app_context()


def test_a_request_from_inside_a_coroutine_may_open_scopes(app: Flask, ctx: Ctx) -> None:
    @app.get("/")
    def index() -> str:
        with ctx.scope(user="inner"):
            return ctx.user

    async def ask() -> str:
        return app.test_client().get("/").text

    assert asyncio.run(ask()) == "inner"


def test_a_handled_exception_that_a_teardown_passes_on_does_not_spoil_the_answer(app: Flask, ctx: Ctx) -> None:
    class PassesOn:
        def __enter__(self) -> None: ...
        def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
            if error is not None:
                raise error

    @app.get("/")
    def index() -> str:
        ctx.enter_context(PassesOn())
        raise Boom

    app.errorhandler(500)(lambda error: ("sorry", 500))
    app.config["PROPAGATE_EXCEPTIONS"] = False
    assert app.test_client().get("/").text == "sorry"


# Apps in apps


def test_two_apps_with_two_contexts_one_mounted_in_the_other_each_see_their_own() -> None:
    outer_ctx, inner_ctx = Ctx([]), Ctx([])
    outer, inner = Flask("outer"), Flask("inner")
    TLCtx(outer, outer_ctx, lambda environ: {"user": "outer"})
    TLCtx(inner, inner_ctx, lambda environ: {"user": "inner"})
    for app, own, other in ((outer, outer_ctx, inner_ctx), (inner, inner_ctx, outer_ctx)):

        @app.get("/")
        def index(own: Ctx = own, other: Ctx = other) -> str:
            return render_template_string("{{ ctx.user }}") + f" {own.user} {getattr(other, 'user', 'nothing')}"

    outer.wsgi_app = DispatcherMiddleware(outer.wsgi_app, {"/inner": inner})  # type: ignore[method-assign]
    client = Client(outer)
    assert client.get("/", buffered=True).text == "outer outer nothing"
    assert client.get("/inner/", buffered=True).text == "inner inner nothing"


def test_inside_the_outers_middleware_the_mounted_app_sees_both() -> None:
    outer_ctx, inner_ctx = Ctx([]), Ctx([])
    outer, inner = Flask("outer"), Flask("inner")
    TLCtx(inner, inner_ctx, lambda environ: {"user": "inner"})
    inner.add_url_rule("/", view_func=lambda: f"{inner_ctx.user} in {outer_ctx.user}")
    outer.wsgi_app = DispatcherMiddleware(outer.wsgi_app, {"/inner": inner})  # type: ignore[method-assign]
    TLCtx(outer, outer_ctx, lambda environ: {"user": "outer"})
    assert Client(outer).get("/inner/", buffered=True).text == "inner in outer"


def test_one_context_in_both_is_one_request(ctx: Ctx, log: list[Any]) -> None:
    outer, inner = Flask("outer"), Flask("inner")
    TLCtx(inner, ctx)
    inner.add_url_rule("/", view_func=lambda: ctx.work)
    outer.wsgi_app = DispatcherMiddleware(outer.wsgi_app, {"/inner": inner})  # type: ignore[method-assign]
    TLCtx(outer, ctx, lambda environ: {"user": "ann"})
    assert Client(outer).get("/inner/", buffered=True).text == "work of ann"
    assert log == ["done for ann"]
