"""What an error tracker finds in the locals of our frames, where an exception strikes late or is no Exception."""

from __future__ import annotations

from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import pytest

import tlctx
from tlctx import ContextMiddleware, RequestContext, Scope, local

PACKAGE = str(Path(tlctx.__file__).parent)


class Struck(BaseException):
    """What arrives from outside."""


class Ctx(RequestContext):
    user: str = "stranger"


ctx = Ctx()


def frames_of(error: BaseException) -> list[FrameType]:
    """The frames of tlctx's code in the traceback."""
    found = []
    traceback = error.__traceback__
    while traceback is not None:
        found.append(traceback.tb_frame)
        traceback = traceback.tb_next
    return [frame for frame in found if frame.f_code.co_filename.startswith(PACKAGE)]


def locals_in(error: BaseException, *functions: str) -> list[Any]:
    frames = [frame for frame in frames_of(error) if frame.f_code.co_name in functions]
    values = [value for frame in frames for value in frame.f_locals.values()]
    return values + [item for value in values if isinstance(value, tuple) for item in value]


def serve(app: Any, environ: Any) -> Any:
    return ContextMiddleware(app, ctx)(environ, lambda *_: lambda data: None)


@pytest.mark.parametrize("error", [ValueError, Struck])
def test_a_failed_call_shows_no_environ(error: type[BaseException]) -> None:
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/"}

    def app(environ: Any, start_response: Any) -> NoReturn:
        raise error

    with pytest.raises(error) as raised:
        serve(app, environ)
    assert all(value is not environ for value in locals_in(raised.value, "call"))


def test_a_call_that_is_struck_when_it_is_over_shows_no_body(monkeypatch: pytest.MonkeyPatch) -> None:
    def strike(self: Scope, displaced: Any) -> NoReturn:
        raise Struck

    struck: BaseException | None = None
    with monkeypatch.context() as patch:
        patch.setattr(Scope, "unbind", strike, raising=False)
        try:
            body = serve(lambda environ, start_response: iter([b"x"]), {"REQUEST_METHOD": "GET", "PATH_INFO": "/"})
        except Struck as error:
            struck = error
    if struck is None:  # the C accelerator calls no method
        body.close()
    else:
        assert "_Body" not in [type(value).__name__ for value in locals_in(struck, "call")]


@pytest.mark.parametrize("error", [ValueError, Struck])
def test_a_body_that_can_not_be_told_is_not_shown(error: type[BaseException]) -> None:
    class Body:
        @property
        def __iter__(self) -> NoReturn:
            raise error

    body = Body()
    with pytest.raises(error) as raised:
        serve(lambda environ, start_response: body, {"REQUEST_METHOD": "GET", "PATH_INFO": "/"})
    assert all(value is not body for value in locals_in(raised.value, "wrap_body"))
    assert Scope.current(ctx) is None


def test_a_value_that_was_written_past_the_local_is_not_shown(implementation: str) -> None:
    class Storage(local):
        pass

    secret = object()
    storage = Storage()
    if implementation == "c":
        with pytest.raises((TypeError, AttributeError)):  # the latter from Python 3.13 on
            object.__setattr__(storage, "token", secret)
        return
    object.__setattr__(storage, "token", secret)
    with pytest.raises(AttributeError, match="was written past the local") as raised:
        storage.token  # noqa: B018
    assert all(value is not secret for value in locals_in(raised.value, "_look_up", "__getattribute__"))
