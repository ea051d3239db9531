"""Scope: one request's life, and the only writer of a thread's slot.

Theory of operation
===================

A context's *slot* on a thread is that thread's dict in the `local` it is. The rule that makes everything else hold:
**a slot holds a scope's namespace only while application code of that request runs on the thread.** So no missed
`close()`, no foreign thread and no interleaving can show one request to another.

    Scope()      the namespace is made, with the fields' defaults
    bind()       the namespace goes into the slot; what it displaces is handed to the caller
    unbind()     the caller hands it back; the slot is as it was before
    close()      once: teardown with the namespace in the slot, then the namespace is emptied for good

`bind` and `unbind` come in pairs around each piece of application code, any number of times, on any thread. Code that
is suspended in between, a generator's, may have left a `with ctx.scope():` of its own open: `unbind` remembers that
inner namespace, and the next `bind` goes on with it.

An emptied namespace does not look like an empty one: it refuses further use, so that whoever kept it, or still has it
in a slot, is told which request ended.

Coroutines share their thread, so a slot can't tell them apart: for them a scope is carried, see `carry`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, Self, TypeVar

from tlctx._core import errors
from tlctx._core.carry import carry, carrying, namespace_of, uncarry
from tlctx._core.lifetime import in_coroutine, thread_name
from tlctx._core.local import Binding, alive, peek_dict, swap_dict
from tlctx._core.teardown import Teardown

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from types import TracebackType

    from tlctx._core.context import RequestContext
    from tlctx._core.namespace import Namespace

__all__ = ["Scope"]

T = TypeVar("T")
P = ParamSpec("P")


class Scope(Binding):
    """One request's life, from its first value to its last teardown.

    `with ctx.scope(user=u):` makes and enters one; the middleware makes one for each request.

    Attributes: `context`, the RequestContext it is for; `serial`, a number no other scope of this process ever has;
    `started`, in seconds on the clock of `time.monotonic`; `thread`, the id of the thread it was last bound to;
    `environ`, the request's WSGI environ, empty outside a request and after the end; `namespace`, the values; `ended`,
    whether its teardown has run and its values are gone.
    """

    __slots__ = ()

    context: RequestContext

    @staticmethod
    def of(context: RequestContext) -> Scope | None:
        """The scope that is current for `context` here and now, or None."""
        scope = namespace_of(context).scope
        return None if scope is None or scope.ended else scope

    @property
    def age(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self.started

    def __str__(self) -> str:
        if self._method is None:
            return f"scope #{self.serial}"
        # A path comes from the client: no line break of its gets into a log.
        return f"request #{self.serial} ({ascii(self._method)[1:-1]} {ascii(self._path or '')[1:-1]:.200})"

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
        teardown = self._teardown(use := "entering a context manager")
        value = teardown.enter_context(cm)
        self._run_if_late(teardown, use)
        return value

    def callback(self, function: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> Callable[P, object]:
        """Have the scope call `function(*args, **kwargs)` at its end. Returns `function`.

        Raises TypeError if `function` is not callable, RequestEndedError after the end.
        """
        if not callable(function):
            raise TypeError(f"callback() needs a function to call at the scope's end, not {type(function).__name__}")
        teardown = self._teardown(use := "adding a callback")
        teardown.callback(function, *args, **kwargs)
        self._run_if_late(teardown, use)
        return function

    def close(self, error: BaseException | None = None) -> None:
        """End it, once: run the teardown, last in first out, then empty the namespace.

        The teardown runs whole, whatever parts of it raise, and learns of `error` or of what `fail` was told. Raises
        what the teardown raised last. A second call does nothing.
        """
        if not self._claim_end():
            return
        teardown = self._teardowns.get("one")
        try:
            if teardown is not None:
                self._run(teardown, self._error if error is None else error)
        finally:
            self._empty()

    def _run(self, teardown: Teardown, error: BaseException | None) -> None:
        self._resume = self.namespace  # not what its code may have left open
        displaced = self.bind()
        try:
            teardown.run(error)
        finally:
            self.unbind(displaced)

    def __enter__(self) -> Self:
        self._check_open("entering a scope")
        if self.thread:
            raise RuntimeError(f"{self} was entered or bound before: make a new one with `with ctx.scope(...):`")
        self._make_current()
        try:
            self.begin()
            self.assign(self._values)
        except BaseException as error:
            self.leave(error)
            raise
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.leave(exc)

    def leave(self, error: BaseException | None = None) -> None:
        """End it as leaving the `with` block does: close it, and make the outer scope current again."""
        try:
            self.close(error)
        finally:
            if self._carried:
                uncarry(self)
            elif namespace_of(self.context).scope is self:
                swap_dict(self.context, alive(self._below))

    def begin(self) -> None:
        """Run the context's own `__init__`, if it has one; the scope must be current."""
        type(self.context)._local__begin(self.context)

    def assign(self, values: Mapping[str, Any]) -> None:
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

    def carried(self) -> AbstractContextManager[None]:
        """A block in which coroutines, tasks and `asyncio.to_thread` that are started see this scope."""
        return carrying(self)

    def _make_current(self) -> None:
        outer: Namespace | None = peek_dict(self.context)
        # What was bound inside the event loop is unbound before the coroutine that called the plain code goes on.
        in_plain_code = outer is not None and outer.scope is not None and outer.scope._in_loop
        if in_plain_code or not in_coroutine():
            self._below = self.bind()
        elif outer is None:
            self.thread = threading.get_ident()
            self._carried = True
            carry(self)
        else:
            raise RuntimeError(
                "a scope can't be opened in a coroutine while its event loop runs inside another scope of the same "
                "context: tasks that take turns on the thread would see each other's. Open one scope a task instead."
            )

    def _check_open(self, use: str) -> None:
        if self.ended:
            raise errors.ended(use, str(self), thread_name())

    def _teardown(self, use: str) -> Teardown:
        self._check_open(use)
        teardown: Teardown = self._teardowns.get("one") or self._teardowns.setdefault("one", Teardown())
        return teardown

    def _run_if_late(self, teardown: Teardown, use: str) -> None:
        """Where another thread ended the scope just now, run at once what was added too late."""
        if self.ended:
            teardown.run_late()
            self._check_open(use)


def _what_is_wrong_with(values: object) -> str:
    if not isinstance(values, Mapping):
        return f"not {type(values).__name__}"
    return "".join([f"and {name!r} is no name" for name in values if not isinstance(name, str)][:1])
