"""What the tests of Flask share: a context that logs the end of its work, and an application that fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from flask import Flask, abort
from support.helpers import Boom
from werkzeug.test import create_environ

from tlctx import RequestContext, per_request


class WorkCtx(RequestContext):
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


def failing_app(app: Flask, ctx: WorkCtx) -> Any:
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


@contextmanager
def raised_in_a_teardown(error: type[BaseException]) -> Iterator[None]:
    """A block that raises `error`: alone, or as Flask 3.2 does, in a group with whatever else is raised there."""
    with pytest.raises(BaseException) as caught:  # noqa: PT011
        yield
    found: list[BaseException] = [caught.value]
    for each in found:
        found += each.exceptions if isinstance(each, BaseExceptionGroup) else ()
    assert any(isinstance(each, error) for each in found), repr(caught.value)


class Server:
    """Calls an application and reads nothing yet."""

    def __init__(self, app: Any, path: str = "/", **environ: Any) -> None:
        self.started: list[Any] = []
        self.body = app({**create_environ(path), **environ}, lambda *arguments: self.started.append(arguments))


def rows() -> Iterator[str]:
    yield "a"


def app_with(app: Flask, ctx: WorkCtx, view: Callable[[], Any]) -> Flask:
    def index() -> Any:
        assert ctx.work
        return view()

    app.config["PROPAGATE_EXCEPTIONS"] = False
    app.logger.disabled = True
    app.add_url_rule("/", view_func=index)
    return app
