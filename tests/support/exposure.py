"""What tests of secrecy share: a value that shows itself, requests that hold it, and the places where it might show."""

from __future__ import annotations

import contextlib
import io
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any
from wsgiref.util import FileWrapper

from support.helpers import Boom, raise_boom, start_nothing
from werkzeug.test import create_environ

import tlctx
from tlctx import ContextMiddleware, OutsideRequestError, RequestContext, Scope, per_request

MARKER = "s3cret"
PACKAGE = Path(tlctx.__file__).parent


class Secret:
    """A value that shows itself to whoever asks for its text."""

    def __repr__(self) -> str:
        return MARKER


class SecretCtx(RequestContext):
    user: Any = Secret()
    token: Any
    unset: Any

    @per_request
    def made(self) -> Secret:
        return Secret()

    @per_request
    def opened(self) -> Iterator[Secret]:
        yield Secret()

    @per_request
    def failing(self) -> Secret:
        raise Boom

    @per_request
    def failing_generator(self) -> Iterator[Secret]:
        yield raise_boom()

    @per_request
    def ended_meanwhile(self) -> Secret:
        scope = Scope.current(self)
        assert scope is not None
        scope.close()
        return Secret()

    @property
    def failing_property(self) -> Secret:
        raise Boom


ctx: Any = SecretCtx()
anything: Any = tlctx.ctx


def fill() -> None:
    """Have the current scope of `ctx` hold a value of each kind."""
    ctx.token = Secret()
    assert MARKER in repr([ctx.user]), "the default"
    assert MARKER in repr([ctx.made, ctx.opened]), "per_request"


@contextlib.contextmanager
def filled() -> Iterator[Scope]:
    with ctx.scope() as scope, anything.scope(undeclared=Secret()):
        fill()
        yield scope


# Requests


def in_a_list(environ: Any, start_response: Any) -> Any:
    fill()
    return [b"hello"]


def in_a_stream(environ: Any, start_response: Any) -> Any:
    fill()
    return (block for block in (b"hel", b"lo"))


class SizedBody(list[bytes]):
    pass


def in_a_sized_body(environ: Any, start_response: Any) -> Any:
    fill()
    return SizedBody([b"hello"])


def in_a_file(environ: Any, start_response: Any) -> Any:
    fill()
    return environ["wsgi.file_wrapper"](io.BytesIO(b"hello"))


APPS = [in_a_list, in_a_stream, in_a_sized_body, in_a_file]


def begun(app: Any, initialize: Any = None, *, context: Any = ctx, **environ: Any) -> tuple[dict[str, Any], Any]:
    """The environ and the body of a request that the app has answered."""
    environ = {**create_environ("/path"), "wsgi.file_wrapper": FileWrapper, **environ}
    return environ, ContextMiddleware(app, context, initialize)(environ, start_nothing)


def serve(app: Any, initialize: Any = None) -> dict[str, Any]:
    """The environ of a request from its begin to its end."""
    environ, body = begun(app, initialize)
    try:
        list(body)
    finally:
        getattr(body, "close", lambda: None)()
    return environ


def fill_and_raise(*_: Any) -> Any:
    fill()
    raise Boom


def raising_in_a_stream(environ: Any, start_response: Any) -> Iterator[bytes]:
    fill()
    yield b"a"
    raise Boom


class Unclosable(list[bytes]):
    def close(self) -> None:
        raise Boom


def unclosable(environ: Any, start_response: Any) -> Any:
    fill()
    return Unclosable([b"a"])


def failing_teardown(app: Any) -> Any:
    def serve(environ: Any, start_response: Any) -> Any:
        ctx.callback(fill_and_raise)
        return app(environ, start_response)

    return serve


# Where it might show


def parts(thing: Any) -> Iterator[Any]:
    """It, and all that is in it as far as it is a container."""
    yield thing
    if isinstance(thing, Mapping):
        for item in thing.items():
            yield from parts(item)
    elif isinstance(thing, Sequence | AbstractSet) and not isinstance(thing, str | bytes):
        for item in thing:
            yield from parts(item)


def chain(error: BaseException | None) -> list[BaseException]:
    """The error, and all that it was raised from or in the handling of, shown or not."""
    found: list[BaseException] = []
    left = [error]
    while left:
        error = left.pop()
        if error is not None and error not in found:
            found.append(error)
            left += [error.__cause__, error.__context__]
    return found


def message(error: BaseException) -> str:
    """All that is told of it, and of those before it, without locals."""
    told = [repr([str(each), each.args, vars(each)]) for each in chain(error)]
    return "".join([*told, *traceback.format_exception(error)])


def as_repr(value: Any) -> str:
    """How `traceback` shows a local."""
    return repr(value)


def opened(value: Any) -> str:
    """How Sentry shows a local: it looks into mappings and sequences itself, whatever their repr is.

    Their class may prevent that with a `__sentry_repr__`.
    """
    if hasattr(type(value), "__sentry_repr__"):
        return str(value.__sentry_repr__())
    try:
        return repr([part for part in parts(value) if not isinstance(part, Mapping)])
    except OutsideRequestError as error:
        return str(error)


def shown(error: BaseException, show: Callable[[Any], str], package: Path = PACKAGE) -> list[str]:
    """The locals of the package's frames that show a value, as "function: local"."""
    frames = [frame for each in chain(error) for frame, _ in traceback.walk_tb(each.__traceback__)]
    ours = [frame for frame in frames if Path(frame.f_code.co_filename).is_relative_to(package)]
    assert ours or tlctx.IMPLEMENTATION == "c", "no frame of the package is in the traceback"
    return [
        f"{frame.f_code.co_qualname}: {name}"
        for frame in ours
        for name, value in frame.f_locals.items()
        if MARKER in show(value)
    ]
