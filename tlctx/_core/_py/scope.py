"""The hot path of a scope in plain Python: how it gets onto a thread and off again, and a body that is run in it.

A request pays for this several times over when its body is streamed, so the common case of each step is written out
where it is taken: no scope below, one thread, nothing to tear down. `tlctx/_core/_c/` has the same two classes in C.
"""

from __future__ import annotations

import sys
import threading
from itertools import count
from time import monotonic
from types import GeneratorType
from typing import TYPE_CHECKING, Any, cast

from tlctx._core import observers
from tlctx._core._py.local import _NO_ENTRY, _impl_of
from tlctx._core.flows import in_coroutine, in_unpatched_greenlet
from tlctx._core.namespace import ATTACHED, ENDED, NO_VALUES, EndedNamespace, Namespace, ended_namespace
from tlctx._core.threads import current_record, storage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping


__all__ = ["ScopeBase", "ScopedIterator", "nearest_open"]

_next_serial = count(1).__next__
_modules = sys.modules
_clear = dict.clear
_observers = observers.active


class ScopeBase:
    """One request's namespace, and its way onto a thread and off it. `Scope` adds what happens at the end."""

    __slots__ = (
        "__weakref__", "_attached", "_displaced", "_error", "_impl", "_in_loop", "_label", "_parts", "_resume",
        "_unclosed", "_values", "context", "namespace", "serial", "source", "started", "thread",
    )  # fmt: skip

    def __init__(
        self,
        context: Any,
        source: Any = None,
        label: str | tuple[str, ...] = "",
        values: Mapping[str, Any] = NO_VALUES,
    ) -> None:
        """Make a scope for `context`; nothing happens until it is bound or entered. Entering assigns `values`.

        `source` is the request's own object, which the scope lets go of at its end. `label` names the request in
        messages: a text, or the keys under which `source`, a mapping, has the words.
        """
        self.context: Any = context
        self._impl: Any = _impl_of(context)
        self.serial = _next_serial()
        self.started = monotonic()
        self.thread = 0
        self.source = source
        self._label: str | tuple[Any, ...]
        if len(label) == 2 and type(label) is tuple:
            self._label = source.get(label[0]), source.get(label[1])
        else:
            self._label = label if isinstance(label, str) else tuple(map(source.get, label))
        self._values = values
        self.namespace = namespace = Namespace(type(context)._local__defaults)
        namespace.scope = self  # type: ignore[assignment]  # of its subclass
        self._resume: Namespace | None = namespace  # what the next bind goes on with
        self._parts: list[Any] = []  # of the teardown
        self._unclosed = [None]  # whoever takes what is in it has to close the scope
        self._error: BaseException | None = None
        self._displaced: Namespace | None = None  # by entering
        self._attached = False  # whether entering attached it to the context variable, in a coroutine
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
            if self.namespace is ENDED:
                ended_namespace(self).check("binding a scope")  # type: ignore[arg-type]  # its subclass
            left = nearest_open(namespace)
            namespace = self.namespace if left is None else left
        try:
            record = storage.here.record if threading.local is storage.kind else current_record()
        except AttributeError:
            record = current_record()
        if _observers and not self.thread:
            self.thread = record.ident
            observers.notify_begin(self)
        self.thread = record.ident
        if "asyncio" in _modules or "trio" in _modules or "curio" in _modules:
            self._in_loop = in_coroutine()
        if "greenlet" in _modules and in_unpatched_greenlet():
            self._attach()
            return ATTACHED
        impl = self._impl
        if impl.serial in record.locals and record.key not in impl.dicts:
            impl.dicts[record.key] = record.ref, namespace
            return None
        displaced: Namespace | None = impl.swap_dict_of(record, namespace)
        return displaced

    def unbind(self, displaced: Namespace | None) -> None:
        """Take it off this thread again, with whatever scopes its code left open there."""
        if displaced is ATTACHED:
            self._detach()
            return
        below = None if displaced is None else nearest_open(displaced)
        try:
            record = storage.here.record if threading.local is storage.kind else current_record()
            if below is None:
                left = self._impl.dicts.pop(record.key, _NO_ENTRY)[1]
            else:
                left = self._impl.swap_dict_of(record, below)
        except AttributeError:  # a thread that comes by for the first time
            left = self._impl.swap_dict(below)
        except BaseException:  # a signal handler's timeout, say: it has to go all the same
            self._impl.swap_dict(below)
            raise
        if self.namespace is not ENDED:
            self._resume = left

    def call(self, wrap: Any, on_error: Any, note: Any, function: Callable[..., Any], *args: Any) -> Any:
        """Call `function(*args)` with the scope bound, and return what it returns.

        After a list, or None, no code of the request is left to run: a scope without a teardown is closed at once.
        Anything else is replaced by what `wrap(result, scope, note)` returns. If the call raises,
        `on_error(error, scope)` is called.
        """
        displaced = self.bind()
        try:
            result = function(*args)
            if (result is None or type(result) is list) and self.close_if_idle():
                return result
            return wrap(result, self, note)
        except BaseException as error:
            result, args = None, ()  # so that no traceback shows them
            try:
                on_error(error, self)
            except BaseException:
                if self.namespace is not ENDED:  # what came from outside struck before it could close the scope
                    on_error(error, self)
                raise
            raise
        finally:
            self.unbind(displaced)

    def close_if_idle(self) -> bool:
        """Close it here and now if there is no teardown to run. Returns whether it is closed, now or before."""
        if self._parts:
            return False
        if self._claim_end():
            self._release(self._error)
        return True

    def _claim_end(self) -> bool:
        """Whether the caller is the one who has to close it: the first to ask."""
        try:
            self._unclosed.pop()
        except IndexError:
            return False
        return True

    def _release(self, error: BaseException | None) -> None:
        """Empty the namespace for good, and let go of the request, which `error` ended, if anything did."""
        namespace, self.namespace = self.namespace, ENDED
        kept = (self._resume, self._error, self._values, self.source)  # their finalizers may run code, when it is over
        self.source = None
        self._values = NO_VALUES
        self._error = self._resume = None
        namespace.__class__ = EndedNamespace
        _clear(namespace)
        del kept
        if self._parts:
            self._run_late()
        if _observers:
            observers.notify_end(self, error)

    _run_late: Callable[[], None]
    _attach: Callable[[], None]
    _detach: Callable[[], None]


def nearest_open(namespace: Namespace | None) -> Namespace | None:
    """The nearest namespace whose scope is open, from this one down through those that scopes displaced."""
    while namespace is not None and namespace.scope is not None and namespace.scope.ended:
        namespace = namespace.scope._displaced
    return namespace


class ScopedIterator:
    """An iterable whose code runs with a scope bound: `iter()` of it, each step, and its `close()`.

    Subclasses implement: `_on_step_error(error)`, after a step that raised anything but StopIteration; `_on_close()`,
    to close a scope with a teardown; `_on_close_error(error)`, after a `close()` that raised; `_on_drop()`, when the
    collector finds the iterator while its scope is open.
    """

    __slots__ = ("__weakref__", "_iterable", "_iterator", "_owner", "_scope")

    def __init__(self, iterable: Iterable[Any], scope: Any) -> None:
        self._iterable = iterable
        self._iterator: Iterator[Any] | None = None
        self._owner: ScopedIterator | None = None  # the body that this is an iterator of, if it is one
        self._scope = scope

    def __iter__(self) -> Iterator[Any]:
        iterable = self._iterable
        if self._owner is not None or type(iterable) is GeneratorType:
            self._iterator = cast("Iterator[Any]", iterable)
            return self
        iterator: Iterator[Any] = self._in_scope(iter, iterable)
        if iterator is iterable:
            self._iterator = iterator
            return self
        # The iterable begins anew each time, so what iterates it is an object of its own.
        other = type(self)(iterator, self._scope)
        other._owner = self
        other._iterator = iterator
        return other

    def __next__(self) -> Any:
        if self._iterator is None:
            iterator = iter(self)
            self._iterator = iterator._iterator  # type: ignore[attr-defined]
        return self._in_scope(next, self._iterator)

    def close(self) -> None:
        """Close the iterable, if it can be closed, with the scope bound, and then the scope."""
        if self._owner is not None:
            self._owner.close()
            return
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
            if not scope.close_if_idle():
                self._on_close()
        except BaseException as error:
            try:
                self._on_close_error(error)
            except BaseException:
                if scope.namespace is not ENDED:  # as in ScopeBase.call()
                    self._on_close_error(error)
                raise
            raise
        finally:
            scope.unbind(displaced)

    def __del__(self) -> None:
        if self._owner is None and self._scope.namespace is not ENDED:
            self._on_drop()

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
            body = self if self._owner is None else self._owner
            try:
                body._on_step_error(error)
            except BaseException:
                if scope.namespace is not ENDED:  # as in ScopeBase.call()
                    body._on_step_error(error)
                raise
            raise
        finally:
            scope.unbind(displaced)

    _on_step_error: Callable[[BaseException], None]
    _on_close_error: Callable[[BaseException], None]
    _on_close: Callable[[], None]
    _on_drop: Callable[[], None]
