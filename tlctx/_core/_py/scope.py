"""The hot path of a scope in plain Python: how it gets onto a thread and off again.

A stream pays for this at each step, so the common case is written out where it is taken: no scope below, one thread,
nothing to tear down. `tlctx/_core/_c/` has the same in C.

An exception from outside, a signal handler's, may arrive between any two lines. What holds all the same:

- `bind` has bound the scope when it returns, and not when it raises.
- Whoever binds undoes it twice: `unbind` in a `finally`, and `restore`, which may be called again, if that was struck.
  No `try:` stands between `bind` and the code that it is for: nothing catches an exception at such a line.
- A scope that is still open after its code has failed is closed once more: that goes on where it was struck.
"""

from __future__ import annotations

import sys
import threading
from itertools import count
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from tlctx._core import observers
from tlctx._core._py.block import Block
from tlctx._core._py.ending import claim_end
from tlctx._core._py.local import _NO_ENTRY, _impl_of
from tlctx._core.flows import in_coroutine, in_unpatched_greenlet
from tlctx._core.namespace import ATTACHED, ENDED, NO_VALUES, NOT_BOUND, EndedNamespace, Namespace, nearest_open, reveal
from tlctx._core.teardown import unfinished
from tlctx._core.threads import current_record, storage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import FrameType

    from tlctx._core.labels import Label
    from tlctx._core.threads import ThreadRecord

__all__ = ["ScopeBase"]

T = TypeVar("T")

_next_serial = count(1).__next__
_modules = sys.modules
_clear = dict.clear
_observers = observers.active


class ScopeBase(Block):
    """One request's namespace, and its way onto a thread and off it. `Scope` adds what happens at the end."""

    __slots__ = (
        "__weakref__", "_attached", "_below", "_closer", "_displaced", "_impl", "_in_loop",
        "_label", "_made", "_parts", "_resume", "_values", "chunks", "closes_early", "context", "namespace", "serial",
        "source", "started", "thread",
    )  # fmt: skip

    def __init__(
        self, context: Any, source: Any = None, label: str | tuple[str, ...] = "", values: Mapping[str, Any] = NO_VALUES
    ) -> None:
        """Make a scope for `context`; nothing happens until it is bound or entered. Entering assigns `values`.

        `source` is the request's own object, which the scope lets go of at its end. `label` names the request in
        messages: a text, or the keys under which `source`, a mapping, has the words.
        """
        self.context: Any = context
        self._impl: Any = _impl_of(context)
        self.serial, self.started = _next_serial(), monotonic()
        self.thread, self.source, self.chunks = 0, source, 0
        if type(label) is tuple and len(label) == 2:
            self._label = source.get(label[0]), source.get(label[1])
        else:
            self._label = label if type(label) is not tuple else tuple(map(source.get, label))
        self._values = values
        defaults = type(context)._local__defaults
        if type(defaults) is dict:
            self.namespace = namespace = Namespace(defaults)
        else:
            values, self.namespace = NO_VALUES, ENDED  # so that no traceback shows the values
            self.namespace = namespace = defaults.make_namespace()
        namespace.scope = self  # type: ignore[assignment]  # of its subclass
        self._resume: Namespace | None = namespace  # what the next bind goes on with
        self._parts: list[Any] = []  # of the teardown
        self._made: Any = {}  # what per_request methods have made, by name
        self._closer: FrameType | None = None  # the call that closes it
        self._error: BaseException | None = None
        self._displaced: Namespace | None = None  # by entering
        self._below: Namespace | None = None  # what binding displaced, while it is bound
        self.closes_early = self._by_generator = False  # whether a generator entered it, which may leave it elsewhere
        self._attached = self._in_loop = False  # to the context variable; whether code that an event loop runs bound it

    _claim_end = claim_end

    @property
    def ended(self) -> bool:
        """Whether it is over: its teardown has run and its values are gone."""
        return self.namespace is ENDED

    def attach(self) -> None:
        """Make it current for this coroutine and what that starts, until `detach`, which does not close it."""
        self._attach_checked()

    def bind(self) -> Namespace | None:
        """Make it current on this thread. Returns what that displaced, which `unbind` wants back.

        Raises RequestEndedError after its end.
        """
        namespace = self._resume
        if namespace is not self.namespace:
            if self.namespace is ENDED:
                self._check_open("binding a scope")
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
            return self._attach_here()
        impl, displaced = self._impl, None
        if impl.serial not in record.locals or record.key in impl.dicts:
            return self._displace(record, namespace)
        try:
            impl.dicts[record.key] = record.ref, namespace
            return displaced
        except BaseException:
            impl.dicts.pop(record.key, None)
            raise

    def _displace(self, record: ThreadRecord, namespace: Namespace) -> Namespace | None:
        displaced: Namespace | None = self._impl.dict_of(record)
        self._below = displaced if self._below is None else self._below
        try:
            self._impl.swap_dict_of(record, namespace)
            return displaced
        except BaseException:
            self._impl.swap_dict_of(record, displaced)
            raise

    def _attach_here(self) -> Namespace:
        try:
            self._attach()
            return ATTACHED
        except BaseException:
            self._detach()
            raise

    def unbind(self, displaced: Namespace | None) -> None:
        """Take it off this thread again, with whatever scopes its code left open there."""
        if displaced is ATTACHED:
            self._detach()
            return
        below = None if displaced is None else reveal(self, displaced)
        try:
            record = storage.here.record if threading.local is storage.kind else current_record()
            if below is None:
                left = self._impl.dicts.pop(record.key, _NO_ENTRY)[1]
            else:
                left = self._impl.swap_dict_of(record, below)
        except AttributeError:  # a thread that comes by for the first time
            left = self._impl.swap_dict(below)
        except BaseException:
            self.restore(displaced)
            raise
        if self.namespace is not ENDED:
            self._resume = left
        elif left is not None and left.scope is not self:
            self._close_left_open(left)

    def restore(self, displaced: Namespace | None) -> None:
        """Make the thread's dict what it was before `bind`, where something struck `unbind`."""
        if displaced is ATTACHED:
            self._detach()
        else:
            self._impl.swap_dict(None if displaced is None else reveal(self, displaced))

    def run(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
        """Return what `function(*args, **kwargs)` returns, which is called with the scope bound.

        Raises RequestEndedError if the scope has ended.
        """
        displaced = NOT_BOUND
        try:
            try:
                displaced = self.bind()
                return function(*args, **kwargs)
            finally:
                if displaced is not NOT_BOUND:
                    self.unbind(displaced)
        except BaseException:
            if displaced is not NOT_BOUND:
                self.restore(displaced)
            raise

    def call(self, wrap: Any, on_error: Any, note: Any, function: Callable[..., Any], *args: Any) -> Any:
        """Call `function(*args)` with the scope bound, and return what it returns.

        After a list, or None, or where it closes early, no code of the request is left to run: a scope without a
        teardown is closed at once. Anything else is replaced by what `wrap(result, scope, note)` returns. If the call
        raises, `on_error(error, scope)` is called, which has to close the scope; once more if it could not.
        """
        displaced = NOT_BOUND
        try:
            try:
                displaced = self.bind()
                result = function(*args)
                if result is None or type(result) is list or self.closes_early:
                    self.chunks = 1
                    if self.close_if_idle():
                        return result
                result = wrap(result, self, note)
                return result  # noqa: RET504  # the name keeps it until the scope has ended, if `unbind` is struck
            except BaseException as error:
                self._error = error
                result, args = None, ()  # so that no traceback shows them
                on_error(error, self)
                raise
            finally:
                if displaced is not NOT_BOUND:
                    self.unbind(displaced)
        except BaseException as error:
            if self.namespace is not ENDED:
                unfinished[self.serial] = self, self._close_late
            if displaced is not NOT_BOUND:
                self.restore(displaced)
            if self.namespace is not ENDED:
                on_error(self._error or error, self)
            result = None  # as above
            raise

    def close_if_idle(self) -> bool:
        """Close it here and now if there is no teardown to run. Returns whether it is closed, now or before."""
        if self._parts or self._closer is not None:
            return self.namespace is ENDED
        self._release(self._error)
        return True

    def _release(self, error: BaseException | None) -> None:
        """Empty the namespace for good, and let go of the request, which `error` ended, if anything did."""
        namespace = self.namespace
        if namespace is ENDED:
            return
        namespace.__class__, self.namespace = EndedNamespace, ENDED
        # Their finalizers may run code, when it is over.
        kept = (self._resume, self._error, self._values, self.source, self._made, self._below)
        self.source = self._closer = self._error = self._resume = self._below = None
        self._values = self._made = NO_VALUES
        _clear(namespace)
        del kept
        if self._parts:
            self._run_late()
        if unfinished:
            self._close_unfinished()
        if _observers:
            observers.notify_end(self, error)

    namespace: Namespace
    _label: Label
    _run_late: Callable[[], None]
    _attach: Callable[[], None]
    _attach_checked: Callable[[], None]
    _detach: Callable[[], None]
    _close_left_open: Callable[[Namespace], None]
    _check_open: Callable[[str], None]
    _close_unfinished: Callable[[], None]
    _close_late: Callable[[], None]
