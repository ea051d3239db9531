"""Flask's contexts, with a scope wherever they are pushed.

Theory of operation
===================

Code may run wherever Flask has pushed a context. Which scope it runs in depends on the context:

    of a request that is served     its scope is current already: nothing to do
    `app.test_request_context()`    a request as well: a scope of its own, in which `initialize` runs
    of a request that is over,      a scope of its own, with a copy of the values that were assigned: taken before the
    or a copy of one                request ended, or when the context was copied
    `app.app_context()`             joins the scope that is current; a scope of its own where none is

A scope of its own is opened before Flask pushes the context, and left when it pops it: after the teardown functions,
inside the app context if that goes too.

Flask makes the contexts; then their class is exchanged for a subclass of it. So an application that has contexts of its
own keeps them.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import flask
import flask.ctx

from tlctx import Scope
from tlctx.flask._ends import MERGED, current_app_context, error_in, has_known_arguments, is_flasks_own, leave_all
from tlctx.lowlevel import assigned_values

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask import Flask

    from tlctx.flask import TLCtx

__all__ = ["replace_contexts"]

_KEPT = "werkzeug.debug.preserve_context"
"""In the environ where the contexts are pushed again after the request: by the test client, and by the debugger."""
_LABEL = ("REQUEST_METHOD", "PATH_INFO")


class Copies:
    """The values that were assigned in a request, for the scopes of contexts that are pushed again."""

    __slots__ = ("_values", "scopes")

    def __init__(self, app: Flask, find: Callable[[TLCtx], Scope | None], older: Copies | None = None) -> None:
        self.scopes: list[Scope] = []
        """Those that were opened with these values, and have not ended yet."""
        self._values: dict[int, dict[str, Any] | None] = {}
        for extension in app.extensions["tlctx"]:
            scope = find(extension)
            if scope is not None:
                self._values[id(extension)] = assigned_values(scope)
            elif older is not None:
                self._values[id(extension)] = older._values.get(id(extension))

    def open_scope(self, extension: TLCtx, environ: Any) -> Scope:
        """Open a scope with the values; one of which there are none begins as that of any request."""
        values = self._values.get(id(extension))
        scope = Scope(extension.ctx, environ, _LABEL if environ is not None else "", {} if values is None else values)
        initialize = None if environ is None or values is not None else extension.initialize
        values = None  # so that no traceback shows them
        scope.__enter__()
        try:
            if initialize is not None:
                scope.update(initialize(environ))
        except BaseException as error:
            scope.leave(error)
            raise
        self.scopes = [scope, *(other for other in self.scopes if not other.ended)]
        return scope


def _current(extension: TLCtx) -> Scope | None:
    return Scope.current(extension.ctx)


def _push(push: Callable[[], None], copies: Copies, missing: list[TLCtx], environ: Any) -> list[Scope]:
    """Open a scope for each context in `missing`, then push. Returns the scopes."""
    opened: list[Scope] = []
    try:
        for extension in missing:
            opened.append(copies.open_scope(extension, environ))  # noqa: PERF401  # for what is open when one fails
        push()
    except BaseException as error:
        leave_all(opened, error)
        raise
    return opened


class _Context:
    """What is noted on an app context, or on a request's."""

    app: Flask
    _tlctx_push: Callable[[], None]  # Flask's own
    _tlctx_copies: Copies | None = None
    _tlctx_ends: list[Scope] | None = None  # the scopes that end with it, of a request
    _tlctx_opened: list[Scope] | None = None  # those that pushing it has opened
    _tlctx_unanswered = True  # whether an exception, if the request has one, has not been answered yet


class _PushesAppContext(_Context):
    def push(self) -> None:
        for extension in self.app.extensions["tlctx"]:
            scope = vars(extension.ctx).scope
            if scope is None or scope.ended:
                break
        else:
            self._tlctx_push()
            return
        missing = [extension for extension in self.app.extensions["tlctx"] if _current(extension) is None]
        copies = self._tlctx_copies or Copies(self.app, _current)
        opened = _push(self._tlctx_push, copies, missing, None)
        self._tlctx_opened = [*(self._tlctx_opened or ()), *opened]


class _PushesRequestContext(_Context):
    request: Any
    _tlctx_is_copy = False
    _tlctx_pushes = 0
    _tlctx_own: list[Scope] = []  # noqa: RUF012  # those that it has opened inside an app context that stays

    def push(self) -> None:
        if self._tlctx_copies is None:
            scopes = self.request.environ.get("tlctx.scopes", ())
            for extension in self.app.extensions["tlctx"]:
                scope = vars(extension.ctx).scope
                if scope not in scopes or scope.ended:
                    break
            else:
                self._tlctx_push()
                self._tlctx_pushes += 1
                return
            self._tlctx_copies = Copies(self.app, self._served)
        missing = [extension for extension in self.app.extensions["tlctx"] if not self._has_scope(extension)]
        outer = current_app_context() if flask.has_app_context() else None
        opened = _push(self._tlctx_push, self._tlctx_copies, missing, self.request.environ)
        self._tlctx_pushes += 1
        context = current_app_context()
        if context is not outer or context is self:
            context._tlctx_opened = [*(context._tlctx_opened or ()), *opened]  # they are left inside it
        else:
            self._tlctx_own = [*self._tlctx_own, *opened]

    def _served(self, extension: TLCtx) -> Scope | None:
        """The scope that the middleware has opened, perhaps on another thread."""
        for scope in self.request.environ.get("tlctx.scopes", ()):
            if scope.context is extension.ctx and not scope.ended:
                return scope  # type: ignore[no-any-return]
        return None

    def _has_scope(self, extension: TLCtx) -> bool:
        scope = _current(extension)
        if scope in self._tlctx_copies.scopes:  # type: ignore[union-attr]
            return True
        return scope is not None and not self._tlctx_is_copy and scope is self._served(extension)

    def pop(self, *args: Any, **kwargs: Any) -> None:
        if self._tlctx_copies is None and _KEPT in self.request.environ:
            self._keep()
        self._tlctx_pushes = max(self._tlctx_pushes - 1, 0)  # Flask refuses a pop too many
        opened: list[Scope] = []
        if self._tlctx_pushes == 0:
            opened, self._tlctx_own = self._tlctx_own, opened
        try:
            super().pop(*args, **kwargs)  # type: ignore[misc]
        except BaseException as raised:
            leave_all(opened, raised)
            raise
        leave_all(opened, error_in(args, kwargs))

    def _keep(self) -> None:
        """Take the copy for when these contexts are pushed again."""
        self._tlctx_copies = Copies(self.app, _current)
        context = current_app_context()
        if not getattr(context, "_tlctx_opened", ()):  # it was pushed with this one, and is kept with it
            context._tlctx_copies = self._tlctx_copies

    def copy(self) -> Any:
        copied: Any = super().copy()  # type: ignore[misc]
        copied._tlctx_copies = Copies(self.app, _current, self._tlctx_copies)
        copied._tlctx_is_copy = True
        return copied


class _PushesContext(_PushesRequestContext, _PushesAppContext):
    """Of Flask 3.2, where both contexts are one."""

    has_request: bool

    def push(self) -> None:
        if self.has_request:
            super().push()
        else:
            _PushesAppContext.push(self)

    def pop(self, *args: Any, **kwargs: Any) -> None:
        if self.has_request:
            super().pop(*args, **kwargs)
        else:
            super(_PushesRequestContext, self).pop(*args, **kwargs)  # type: ignore[misc]


class _IsServed(_Context):
    """The context of a request that the middleware serves: its scope is there, and it is pushed once."""

    def copy(self) -> Any:
        copied: Any = super().copy()  # type: ignore[misc]
        copied.__class__ = _derived(type(copied), _PushesContext if MERGED else _PushesRequestContext)  # type: ignore[arg-type]
        copied._tlctx_copies = Copies(self.app, _current)
        copied._tlctx_is_copy = True
        return copied


def replace_contexts(app: Flask) -> None:
    """Have the application's contexts open scopes."""
    # A signal, `appcontext_pushed`, tells of app contexts alone, and costs more than the rest of the request's scope.
    app.app_context = _app_context_of(app)  # type: ignore[method-assign]
    # There is none that tells of a request context that is pushed again, or copied.
    app.request_context = _request_context_of(app)  # type: ignore[method-assign]


def _app_context_of(app: Flask) -> Callable[..., Any]:
    make = app.app_context
    kind = _PushesContext if MERGED else _PushesAppContext
    if is_flasks_own(app, "app_context"):
        return functools.update_wrapper(functools.partial(_derived(flask.ctx.AppContext, kind), app), make)

    @functools.wraps(make)
    def app_context(*args: Any, **kwargs: Any) -> Any:
        context: Any = make(*args, **kwargs)
        context.__class__ = _derived(type(context), kind)  # type: ignore[arg-type]
        return context

    return app_context


def _request_context_of(app: Flask) -> Callable[..., Any]:
    make, installed = app.request_context, app.extensions["tlctx"]
    kind = _PushesContext if MERGED else _PushesRequestContext
    own = has_known_arguments(app, "request_context")
    served, pushes = (_derived(flask.ctx.RequestContext, each) if own else None for each in (_IsServed, kind))

    @functools.wraps(make)
    def request_context(environ: Any) -> Any:
        scopes = environ.get("tlctx.scopes", ())
        is_served = _KEPT not in environ
        for extension in installed:
            if vars(extension.ctx).scope not in scopes:
                is_served = False
        if own:
            return served(app, environ) if is_served else pushes(app, environ)  # type: ignore[misc]
        context: Any = make(environ)
        context.__class__ = _derived(type(context), _IsServed if is_served else kind)  # type: ignore[arg-type]
        return context

    return request_context


@functools.lru_cache
def _derived(cls: Any, kind: Any) -> Any:
    """The class of the same name that does what `kind` adds."""
    plain = cls.__bases__[1] if issubclass(cls, _Context) else cls
    return type(cls.__name__, (kind, plain), {"__module__": cls.__module__, "_tlctx_push": plain.push})
