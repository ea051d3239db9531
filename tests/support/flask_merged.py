"""Flask's contexts as they are from 3.2 on, where one class serves for both, on the version that is installed."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask
from flask.ctx import AppContext
from flask.globals import _cv_app

from tlctx.flask import _contexts, _ends

if TYPE_CHECKING:
    from collections.abc import Iterator

IS_MERGED = hasattr(AppContext, "from_environ")


class MergedContext(AppContext):
    """Does what Flask 3.2's does, and is what 3.1 finds where it looks for either."""

    def __init__(self, app: Flask, request: Any = None, session: Any = None) -> None:
        super().__init__(app)
        self.url_adapter = app.create_url_adapter(request)
        self.request, self._session, self.flashes = request, session, None
        self._after_request_functions: list[Any] = []
        self._tokens: list[Any] = []
        self._pushes = 0

    @property
    def has_request(self) -> bool:
        return self.request is not None

    @property
    def session(self) -> Any:
        return self._session

    def copy(self) -> Any:
        return self.__class__(self.app, self.request, self._session)

    def push(self) -> None:
        from flask.globals import _cv_request

        self._pushes += 1
        if self._pushes > 1:
            return
        self._tokens = [(_cv_app, _cv_app.set(self))]
        if self.has_request:
            self._tokens.append((_cv_request, _cv_request.set(self)))  # type: ignore[arg-type]
            interface = self.app.session_interface
            self._session = interface.open_session(self.app, self.request) or interface.make_null_session(self.app)
            self.request.url_rule, self.request.view_args = self.url_adapter.match(return_rule=True)  # type: ignore[union-attr]

    def pop(self, exc: BaseException | None = None) -> None:
        app: Any = self.app
        self._pushes -= 1
        if self._pushes > 0:
            return
        errors: list[BaseException] = []
        if self.has_request:
            with collected(errors):
                app.do_teardown_request(self, exc)
        with collected(errors):
            app.do_teardown_appcontext(self, exc)
        for variable, token in self._tokens:
            variable.reset(token)
        if errors:
            raise BaseExceptionGroup("Errors during context teardown", errors)


@contextmanager
def collected(errors: list[BaseException]) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        errors.append(error)


class MergedFlask(Flask):
    """An application whose contexts are merged, and which has the context first where they call it."""

    def app_context(self) -> Any:
        return MergedContext(self)

    def request_context(self, environ: Any) -> Any:
        return MergedContext(self, self.request_class(environ))

    def do_teardown_request(self, ctx: AppContext, exc: BaseException | None = None) -> None:  # type: ignore[override]
        """Tear down the request's part."""
        super().do_teardown_request(exc)

    def do_teardown_appcontext(self, ctx: AppContext, exc: BaseException | None = None) -> None:  # type: ignore[override]
        """Tear down the application's part."""
        super().do_teardown_appcontext(exc)


def merged_flask(name: str, monkeypatch: pytest.MonkeyPatch) -> Flask:
    """An application of Flask 3.2, or one that behaves as one does."""
    if IS_MERGED:
        return Flask(name)
    monkeypatch.setattr(_ends, "MERGED", True)
    monkeypatch.setattr(_contexts, "MERGED", True)
    return MergedFlask(name)
