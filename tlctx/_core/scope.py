"""Scope: one request's life, and the only writer of its context's dict on a thread.

Theory of operation
===================

A context is a `local`, so it has a dict on each thread. The rule that makes everything else hold: **a thread's dict is
a scope's namespace only while application code of that request runs on the thread.** So no missed `close()`, no
foreign thread and no interleaving can show one request to another.

    Scope()      makes the namespace, with the fields' defaults
    bind()       makes the namespace the thread's dict, and returns what that displaced
    unbind()     takes that back: the thread's dict is as it was before
    close()      once: runs the teardown with the scope bound, then empties the namespace for good

`bind` and `unbind` come in pairs around each piece of application code, any number of times, on any thread. Code that
is suspended in between, a generator's, may have left a `with ctx.scope():` of its own open: `unbind` remembers that
inner namespace, and the next `bind` goes on with it.

A namespace that was emptied refuses further use, so whoever kept it, or still has it on a thread, is told which request
ended.

Coroutines share their thread, so they can't have a dict each: a scope is attached to a context variable for them, see
`propagation.py`.
"""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TypeVar

from tlctx._core import errors, observers, teardown
from tlctx._core.flows import cannot_attach, shares_thread
from tlctx._core.implementation import ScopeBase, nearest_open, peek_dict, swap_dict
from tlctx._core.labels import label_text, name_of
from tlctx._core.propagation import attach, detach, namespace_of, take_off
from tlctx._core.threads import thread_name
from tlctx._core.unleft import close_late, close_left_open, close_unfinished, close_unleft, nearest_leavable

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from tlctx._core.context import RequestContext
    from tlctx._core.namespace import Namespace

__all__ = ["Scope", "open_scopes"]

T = TypeVar("T")
P = ParamSpec("P")


class Scope(ScopeBase):
    """One request's life, from its first value to its last teardown.

    `with ctx.scope(user=u):` makes and enters one; the middleware makes one for each request.

    An integration makes one with `Scope(context, source=None, label="", values={})`. Nothing happens until it is bound
    or entered; entering it assigns `values`. `source` is the object that it stands for, which it forgets at its end.
    `label` names it in messages: a text, or the keys under which `source`, a mapping, has the words.

    `run(function, /, *args, **kwargs)` calls `function(*args, **kwargs)` with the scope bound, and returns what that
    returns. Raises RequestEndedError after the end.

    Attributes: `context`, the RequestContext it is for; `source`, the request's object, a WSGI environ for example, or
    None, as it is after the end; `serial`, a number no other scope of this process ever has; `started`, in seconds on
    the clock of `time.monotonic`; `thread`, the id of the thread it was last bound to, 0 before that; `namespace`, the
    values; `ended`, whether its teardown has run and its values are gone; `chunks`, the pieces of the body that the
    server took so far. One that goes to the server as it is, a list or a file, is one piece, taken when it is
    returned. Under ASGI each message that has a part of the answer is one.
    """

    __slots__ = ()

    context: RequestContext

    _close_left_open = close_left_open
    close_unleft = close_unleft
    _close_late = close_late
    _close_unfinished = close_unfinished

    @staticmethod
    def current(context: RequestContext) -> Scope | None:
        """The scope that is current for `context` here and now, or None."""
        scope = namespace_of(context).scope
        return None if scope is None or scope.ended else scope

    @property
    def age(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self.started

    @property
    def label(self) -> str:
        """What names the request in messages, "GET /notes" for example; empty if nothing does."""
        return label_text(self._label)

    def __str__(self) -> str:
        return name_of(self.serial, self._label)

    def __repr__(self) -> str:
        return f"<{'ended' if self.ended else 'open'} {self}>"

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("a Scope can't be copied or pickled: what it opened can be closed only once")

    def fail(self, error: BaseException) -> None:
        """Have the teardown learn of `error` although somebody handled it: what can roll back will."""
        self._error = error

    def enter_context(self, cm: AbstractContextManager[T]) -> T:
        """Enter `cm` and have the scope leave it at its end, as `contextlib.ExitStack.enter_context` does.

        Raises TypeError if `cm` is no context manager, RequestEndedError after the end.
        """
        return self._enter_context(cm, may_suppress=True)

    def _enter_context(self, cm: AbstractContextManager[T], *after: Callable[..., object], may_suppress: bool) -> T:
        self._check_open(use := "entering a context manager")
        value = teardown.enter(cm, self._parts, *after, may_suppress=may_suppress)
        self._run_if_late(use)
        return value

    def callback(self, function: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> Callable[P, object]:
        """Have the scope call `function(*args, **kwargs)` at its end. Returns `function`.

        Raises TypeError if `function` is not callable, RequestEndedError after the end.
        """
        if not callable(function):
            raise TypeError(f"callback() needs a function to call at the scope's end, not {type(function).__name__}")
        self._check_open(use := "adding a callback")
        self._parts.append(teardown.Part(partial(function, *args, **kwargs)))
        self._run_if_late(use)
        return function

    def close(self, error: BaseException | None = None) -> None:
        """End it, once: run the teardown, last in first out, then empty the namespace.

        The teardown runs whole, whatever parts of it raise, and learns of `error` or of what `fail` was told. Raises
        what the teardown raised last. A second call does nothing; if the first one was struck by an exception from
        outside, it goes on where that stopped.
        """
        if not self._claim_end(sys._getframe()):
            return
        if error is not None:
            self._error = error
        try:
            if teardown.unfinished and self.serial not in teardown.unfinished:
                self._close_unfinished()
            self._run_teardown()
            self._release(self._error)
        except BaseException as raised:
            if self._parts:  # it came from outside, before they could run
                self.fail(self._error or raised)
                self._run_teardown()
            self._release(self._error)
            raise

    def _run_teardown(self) -> None:
        self._close_left_open(nearest_open(peek_dict(self.context)) or self._resume)
        if self._parts:
            self._resume = self.namespace
            self.run(teardown.run, self._parts, self._error)

    def _enter(self) -> None:
        self._check_open("entering a scope")
        if teardown.unfinished:
            self._close_unfinished()
        if self.thread:
            raise RuntimeError(f"{self} was entered or bound before: make a new one with `with ctx.scope(...):`")
        self._make_current()
        self.run_init()
        self.update(self._values)

    def leave(self, error: BaseException | None = None) -> None:
        """End it as leaving the `with` block does: close it, and make the outer scope current again."""
        try:
            self.close(error)
        finally:
            if self._attached:
                self._detach()
            else:
                self._drop_ended()

    def _drop_ended(self) -> Namespace | None:
        """Take scopes that have ended, perhaps on another thread, off this one. Returns what is bound then."""
        bound: Namespace | None = peek_dict(self.context)
        outer = nearest_leavable(bound)
        if outer is not bound:
            swap_dict(self.context, outer)
        return outer

    def run_init(self) -> None:
        """Run the context's own `__init__`, if it has one; the scope must be current."""
        type(self.context)._local__run_init(self.context)

    def update(self, values: Mapping[str, Any]) -> None:
        """Assign each value to its name; the scope must be current.

        Raises TypeError if `values` is no mapping from names.
        """
        wrong = _what_is_wrong_with(values)
        value: Any = None
        try:
            for name in () if wrong else values:
                value = values[name]
                setattr(self.context, name, value)
        finally:
            del values, value  # so that no traceback shows them
        if wrong:
            raise TypeError(f"the first values must be a mapping from names, {wrong}")

    def _make_current(self) -> None:
        outer = self._drop_ended()
        # What was bound inside the event loop is unbound before the coroutine that called the plain code goes on.
        in_plain_code = outer is not None and outer.scope is not None and outer.scope._in_loop
        if in_plain_code or not shares_thread():
            self._displaced = self.bind()
        else:
            self.thread = threading.get_ident()
            if observers.active:
                observers.notify_begin(self)
            self._attach()

    def _attach_checked(self) -> None:
        self._check_open("attaching a scope")
        if observers.active and not self.thread:
            self.thread = threading.get_ident()
            observers.notify_begin(self)
        self._attach()

    def detach(self) -> None:
        """Undo `attach`, in any order."""
        self._attached = False
        take_off(self)

    def _attach(self) -> None:
        """Make it current for this coroutine or greenlet. Raises RuntimeError where a scope is bound to the thread."""
        bound = peek_dict(self.context)
        if bound is not None and nearest_open(bound) is not None:
            raise RuntimeError(cannot_attach())
        self.thread = threading.get_ident()
        self._attached = True
        attach(self)

    def _detach(self) -> None:
        self._attached = False
        detach(self)

    def _check_open(self, use: str) -> None:
        if self.ended:
            raise errors.request_ended(use, str(self), thread_name())

    def _run_if_late(self, use: str) -> None:
        """Where another thread ended the scope just now, run at once what was added too late."""
        if self.ended:
            self._run_late()
            self._check_open(use)

    def _run_late(self) -> None:
        teardown.run(self._parts, None)


def _what_is_wrong_with(values: object) -> str:
    if not isinstance(values, Mapping):
        return f"not {type(values).__name__}"
    return "".join([f"and {name!r} is no name" for name in values if not isinstance(name, str)][:1])


def open_scopes() -> list[Scope]:
    """All scopes of this process that have begun and not ended, the oldest first.

    It walks the whole heap, milliseconds in a large process: made for a diagnostic page, not for each request.
    """
    found = [thing for thing in gc.get_objects() if issubclass(type(thing), Scope)]  # its __class__ may be a proxy's
    return sorted(
        (scope for scope in found if getattr(scope, "thread", 0) and not scope.ended), key=lambda scope: scope.serial
    )
