"""Work that calls every function of the C accelerator, its errors included: repeated, it must leave nothing."""

from __future__ import annotations

import contextlib
import gc
import io
from dataclasses import field
from typing import TYPE_CHECKING, Any
from wsgiref.util import FileWrapper

from support.helpers import in_foreign_thread, in_thread

import tlctx
from tlctx import ContextMiddleware, RequestContext, Scope, per_request
from tlctx._core.implementation import ScopedIterator, nearest_open, peek_dict, swap_dict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Boom(Exception):
    pass


def fail() -> Any:
    raise Boom


class Ctx(RequestContext):
    user: str = "nobody"
    unset: str

    @per_request
    def made(self) -> Iterator[list[int]]:
        yield [1]


class Strict(RequestContext, strict=True):
    user: str = "nobody"
    tags: list[str] = field(default_factory=list)


class MadeBadly(RequestContext):
    tags: list[str] = field(default_factory=list)
    failing: str = field(default_factory=fail)


class Special(tlctx.local):
    constant = "the class's"

    def __init__(self, *args: Any, fail: bool = False) -> None:
        if fail:
            raise Boom
        self.args = args

    @property
    def computed(self) -> Any:
        return self.args

    @property
    def broken(self) -> Any:
        raise Boom

    def method(self) -> Any:
        return self


ctx = Ctx()
strict = Strict()
kept = tlctx.local()


def refused(function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    with contextlib.suppress(Exception):
        function(*args, **kwargs)
        raise AssertionError("it was not refused")


def attributes() -> None:
    mine = tlctx.local()
    for name in ("a", "b", "c", "d", "e", "f", "g", "h", "i", "built at run time"[:3]):
        setattr(mine, name, object())
        assert getattr(mine, name) is getattr(mine, name)
    vars(mine)["x"] = object()
    assert mine.x is vars(mine)["x"]
    del mine.x
    kept.x = object()
    assert kept.x


def special_attributes() -> None:
    mine = Special(1, [])
    assert (mine.computed, mine.constant, mine.method() is mine) == ((1, []), "the class's", True)
    mine.constant = "own"
    del mine.constant
    for name in ("broken", "missing", "__dict__x"):
        refused(getattr, mine, name)
    refused(setattr, mine, "computed", 1)
    refused(setattr, mine, "__dict__", {})
    refused(delattr, mine, "__dict__")
    refused(delattr, mine, "missing")
    refused(mine.__getattribute__, 5)
    refused(mine.__setattr__, 5, 5)


def refusals() -> None:
    refused(tlctx.local, 1)
    refused(tlctx.local, a=1)
    refused(Special, fail=True)
    refused(kept.__reduce_ex__, 4)
    refused(swap_dict, kept)
    refused(swap_dict, kept, 5)
    refused(swap_dict, 5, {})
    refused(peek_dict, 5)
    refused(ScopedIterator, [], 5)
    refused(Scope, 5)
    refused(Scope, kept)
    refused(Scope(ctx).unbind, 5)
    refused(Scope(ctx).call)


def the_map() -> None:
    impl = tlctx.local()._local__impl
    assert impl.get_dict() is impl.dicts.popitem()[1][1]
    assert impl.swap_dict(None) is not None
    refused(impl.get_dict)
    assert impl.create_dict() == {}
    impl.forget(5)
    assert nearest_open(None) is None


def cycles() -> None:
    mine = tlctx.local()
    mine.myself = mine
    mine.map = mine._local__impl.dicts
    scope = Scope(ctx)
    scope.bind()
    ctx.user = scope  # type: ignore[assignment]
    ctx.gate = ContextMiddleware(in_list, ctx)  # type: ignore[attr-defined]
    scope.unbind(None)


def threads() -> None:
    mine = Special(1)
    in_thread(lambda: setattr(mine, "x", mine.computed))
    in_foreign_thread(lambda: setattr(mine, "x", mine.computed))
    failing = Special.__new__(Special, fail=True)
    refused(in_thread, lambda: failing.x)
    in_thread(lambda: getattr(ctx, "user", None))


def scopes() -> None:
    with ctx.scope(user="ann"):
        assert (ctx.user, ctx.made) == ("ann", [1])
        ctx.callback(gc.isenabled)
        with ctx.scope():
            refused(getattr, ctx, "unset")
            refused(getattr, ctx, "mising")
        left = vars(ctx)
    refused(left.__getitem__, "user")
    refused(getattr, ctx, "user")
    refused(setattr, ctx, "user", 1)


def strict_scopes() -> None:
    for _ in range(2):  # the second one has what the first one left
        with strict.scope(user="ann"), ctx.scope():
            strict.tags.append("a")
            strict.user = "bob"
            assert strict.setdefault("user") == strict.pop("user") == "bob"
            left = vars(strict)
            refused(setattr, strict, "other", 1)
            refused(setattr, strict, 5, 1)
            refused(left.__setitem__, "other", 1)
            refused(left.update, other=1)
            refused(delattr, strict, "other")
        refused(left.__setitem__, "user", "ann")
    refused(MadeBadly().scope, user="ann")
    refused(Scope, MadeBadly())


def out_of_order() -> None:
    first, second = ctx.scope(), ctx.scope()
    below = first.bind()
    above = second.bind()
    first.close()
    second.unbind(above)
    first.unbind(below)
    second.unbind(second.bind())
    second.close()
    second.close()
    refused(second.bind)


def in_list(environ: Any, start_response: Any) -> Any:
    ctx.user = "ann"
    return [b"x"]


def in_steps(environ: Any, start_response: Any) -> Iterator[bytes]:
    with ctx.scope():
        yield b"x"
    yield ctx.user.encode()


def in_file(environ: Any, start_response: Any) -> Any:
    return environ["wsgi.file_wrapper"](io.BytesIO(b"x"))


def raising(*_: Any) -> Any:
    ctx.callback(gc.isenabled)
    raise Boom


def raising_in_steps(environ: Any, start_response: Any) -> Iterator[bytes]:
    yield b"x"
    raise Boom


class Unclosable(list[bytes]):
    def close(self) -> None:
        raise Boom


def serve(app: Any, initialize: Any = None) -> Any:
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "wsgi.file_wrapper": FileWrapper}
    body = ContextMiddleware(app, ctx, initialize)(environ, None)  # type: ignore[arg-type]
    for _ in body:
        pass
    if hasattr(body, "close"):
        body.close()
    return body


def requests() -> None:
    for app in (
        in_list,
        in_steps,
        in_file,
        lambda *_: (b"x",),
        lambda *_: iter([b"x"]),
        ContextMiddleware(in_list, ctx),
    ):
        serve(app)
    serve(in_steps, lambda environ: {"user": "bob"})
    for app in (raising, raising_in_steps, lambda *_: Unclosable([b"x"]), lambda *_: raising()):
        refused(serve, app)


WORKLOADS: dict[str, Callable[[], object]] = {
    "attributes": attributes,
    "properties, methods, missing names": special_attributes,
    "wrong arguments": refusals,
    "the map": the_map,
    "cycles": cycles,
    "threads": threads,
    "scopes": scopes,
    "strict scopes and made defaults": strict_scopes,
    "scopes out of order": out_of_order,
    "requests": requests,
}
