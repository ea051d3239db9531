"""How a scope gets into a thread's slot and out of it again, in plain Python: the ground that `Scope` stands on.

This is what a request pays for, several times over when its body is streamed, so the common case of each step is
written out where it is taken: no scope below, one thread, nothing to tear down.
"""

from __future__ import annotations

import sys
import threading
from itertools import count
from time import monotonic
from types import GeneratorType
from typing import TYPE_CHECKING, Any

from tlctx._core._local_py import _NO_ENTRY, _impl_of
from tlctx._core.lifetime import current_lifetime, in_coroutine, platform
from tlctx._core.namespace import ENDED, NO_VALUES, EndedNamespace, Namespace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping


__all__ = ["Binding", "Gate", "Steps", "alive"]

_next_serial = count(1).__next__
_modules = sys.modules
_clear = dict.clear


class Binding:
    """One request's namespace, and its way into a thread's slot."""

    __slots__ = (
        "__weakref__", "_below", "_carried", "_error", "_impl", "_in_loop", "_method", "_path", "_resume", "_teardowns",
        "_unclosed", "_values", "context", "environ", "namespace", "serial", "started", "thread",
    )  # fmt: skip

    def __init__(
        self, context: Any, environ: Mapping[str, Any] | None = None, values: Mapping[str, Any] = NO_VALUES
    ) -> None:
        """A binding for `context`, in the request that `environ` describes if there is one.

        Nothing happens until it is bound or entered; entering assigns `values`.
        """
        self.context: Any = context
        self._impl: Any = _impl_of(context)
        self.serial = _next_serial()
        self.started = monotonic()
        self.thread = 0
        self.environ = environ = NO_VALUES if environ is None else environ
        self._method = environ.get("REQUEST_METHOD")
        self._path = environ.get("PATH_INFO")
        self._values = values
        self.namespace = namespace = Namespace(type(context)._local__defaults)
        namespace.scope = self  # type: ignore[assignment]  # of its subclass
        self._resume: Namespace | None = namespace  # what the next bind goes on with
        self._teardowns: dict[str, Any] = {}  # at most one: setdefault is atomic, if many threads come first
        self._unclosed = [None]  # whoever closes takes what is in it
        self._error: BaseException | None = None
        self._below: Namespace | None = None  # what entering displaced
        self._carried = False  # whether entering carried it, in a coroutine
        self._in_loop = False  # whether it was bound by code that an event loop runs

    @property
    def ended(self) -> bool:
        """Whether it is over: its teardown has run and its values are gone."""
        return self.namespace is ENDED

    def bind(self) -> Namespace | None:
        """Make it current on this thread. Returns what that displaced, which `unbind` wants back.

        Raises RequestEndedError after its end.
        """
        namespace = self._resume
        if namespace is not self.namespace:
            self._check_open("binding a scope")
            left = alive(namespace)
            namespace = self.namespace if left is None else left
        try:
            lifetime = platform.storage.lifetime if threading.local is platform.kind else current_lifetime()
        except AttributeError:
            lifetime = current_lifetime()
        self.thread = lifetime.ident
        if "asyncio" in _modules:
            self._in_loop = in_coroutine()
        impl = self._impl
        if impl.serial in lifetime.locals and lifetime.key not in impl.dicts:
            impl.dicts[lifetime.key] = lifetime.ref, namespace
            return None
        displaced: Namespace | None = impl.swap_dict_of(lifetime, namespace)
        return displaced

    def unbind(self, displaced: Namespace | None) -> None:
        """Take it off this thread again, with whatever scopes its code left open there."""
        below = None if displaced is None else alive(displaced)
        try:
            lifetime = platform.storage.lifetime if threading.local is platform.kind else current_lifetime()
            if below is None:
                left = self._impl.dicts.pop(lifetime.key, _NO_ENTRY)[1]
            else:
                left = self._impl.swap_dict_of(lifetime, below)
        except AttributeError:  # a thread that comes by for the first time
            left = self._impl.swap_dict(below)
        except BaseException:  # a signal handler's timeout, say: it has to go all the same
            self._impl.swap_dict(below)
            raise
        if self.namespace is not ENDED:
            self._resume = left

    def run(self, settle: Any, fail: Any, note: Any, function: Callable[..., Any], *args: Any) -> Any:
        """Call `function(*args)` with the scope bound, and return what it returns.

        After a list, or None, no code is left to run: the scope ends, if that takes no teardown. Anything else is
        exchanged for what `settle(result, scope, note)` returns. Of an error `fail(error, scope)` is told.
        """
        displaced = self.bind()
        try:
            result = function(*args)
            if (result is None or type(result) is list) and self.finish():
                return result
            return settle(result, self, note)
        except BaseException as error:
            result, args = None, ()  # so that no traceback shows them
            fail(error, self)
            raise
        finally:
            self.unbind(displaced)

    def finish(self) -> bool:
        """End it here and now if that takes no teardown. Returns whether it has ended, now or before."""
        if self._teardowns:
            return False
        try:
            self._unclosed.pop()
        except IndexError:
            return True
        self._empty()
        return True

    def _claim_end(self) -> bool:
        """Whether the caller is the one who has to end it: the first to ask."""
        try:
            self._unclosed.pop()
        except IndexError:
            return False
        return True

    def _empty(self) -> None:
        """Empty the namespace for good, and let go of the request."""
        namespace, self.namespace = self.namespace, ENDED
        kept = (
            self._resume,
            self._error,
            self._values,
            self.environ,
        )  # as they go, they may run code: it is over by then
        self.environ = self._values = NO_VALUES
        self._error = self._resume = None
        namespace.__class__ = EndedNamespace
        _clear(namespace)
        del kept
        if self._teardowns:
            self._teardowns.pop("one").run_late()

    def _check_open(self, use: str) -> None:
        raise NotImplementedError


def alive(namespace: Namespace | None) -> Namespace | None:
    """The nearest namespace that has not ended, from this one down through those that scopes displaced."""
    while namespace is not None and namespace.scope is not None and namespace.scope.ended:
        namespace = namespace.scope._below
    return namespace


class Steps:
    """An iterable whose code runs with a scope bound: `iter()` of it, each step, and its `close()`.

    A subclass says what happens else: `_failed(error)` after a step that raised anything but StopIteration, `_settle()`
    where `close()` can't end the scope alone, `_fail(error)` after a `close()` that raised, and `_dropped()` when the
    steps go while their scope is open.
    """

    __slots__ = ("__weakref__", "_iterable", "_iterator", "_scope")

    def __init__(self, iterable: Iterable[Any], scope: Any) -> None:
        self._iterable = iterable
        self._iterator: Iterator[Any] | None = None
        self._scope = scope

    def __iter__(self) -> Iterator[Any]:
        iterable = self._iterable
        self._iterator = iterable if type(iterable) is GeneratorType else self._in_scope(iter, iterable)
        return self

    def __next__(self) -> Any:
        if self._iterator is None:
            iter(self)
        return self._in_scope(next, self._iterator)

    def close(self) -> None:
        """Close the iterable, if it can be closed, with the scope bound, and end the scope."""
        close = getattr(self._iterable, "close", None)
        scope = self._scope
        if scope.namespace is ENDED:
            if close is not None:
                close()
            return
        displaced = scope.bind()
        try:
            if close is not None:
                close()
            if not scope.finish():
                self._settle()
        except BaseException as error:
            self._fail(error)
            raise
        finally:
            scope.unbind(displaced)

    def __del__(self) -> None:
        if self._scope.namespace is not ENDED:
            self._dropped()

    def _in_scope(self, function: Callable[[Any], Any], argument: Any) -> Any:
        scope = self._scope
        if scope.namespace is ENDED:
            return function(argument)
        displaced = scope.bind()
        try:
            return function(argument)
        except StopIteration:
            raise
        except BaseException as error:
            self._failed(error)
            raise
        finally:
            scope.unbind(displaced)

    _failed: Callable[[BaseException], None]
    _fail: Callable[[BaseException], None]
    _settle: Callable[[], None]
    _dropped: Callable[[], None]


class Gate:
    """Calls an application with a new scope bound: by `_serve`, which a subclass defines.

    The compiled twin serves plain calls itself. It takes `parts` for that: the key under which the environ gets the
    scopes, a type of Binding and one of Steps, and what `Binding.run` takes as `settle` and `fail`.
    """

    _serve: Callable[..., Any]

    def __init__(self, app: Any, ctx: Any, initialize: Any, parts: tuple[str, Any, Any, Any, Any]) -> None:
        del parts
        self.app = app
        self.ctx = ctx
        self.initialize = initialize

    def __init_subclass__(cls) -> None:
        if "_serve" in vars(cls):
            cls.__call__ = cls._serve  # type: ignore[method-assign]

    def __call__(self, environ: Any, start_response: Any, /) -> Any:
        """Call the application."""
        return self._serve(environ, start_response)
