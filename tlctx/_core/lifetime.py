"""Lifetime: which thread runs, and when it has ended.

Which one runs is asked of `threading` each time, by its name there: gevent swaps `threading.local` and
`threading.get_ident` when it patches, perhaps after this module was imported, and from then on a greenlet is a thread.

A thread that `threading` did not start has no Thread object to rely on. Up to CPython 3.12.1 `current_thread()` hands
the next one that gets the same id the dead one's `_DummyThread`, and asking for it while a thread ends leaves a ghost
behind. So `current_thread()` is never asked; a ForeignThread stands in, made when such a thread first comes by.
"""

from __future__ import annotations

import sys
import threading
from itertools import count
from typing import TYPE_CHECKING, Any
from weakref import ref

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    class Impl(Protocol):
        """The map behind a `local`, as far as a lifetime knows it."""

        @property
        def serial(self) -> int:
            """A number of its own."""

        def forget(self, key: int, /) -> None:
            """Drop the entry under the id `key` of a Thread."""


__all__ = [
    "ForeignThread",
    "Lifetime",
    "Platform",
    "current_lifetime",
    "in_coroutine",
    "next_serial",
    "platform",
    "thread_name",
]


next_serial = count(1).__next__
"""A number for the map behind a `local`, of either twin, that no other one of this interpreter has."""


class ForeignThread:
    """Stands in for a thread that `threading` did not start, or no longer knows."""

    __slots__ = ("__weakref__", "name")

    def __init__(self, ident: int) -> None:
        self.name = f"foreign thread {ident}"


class Lifetime:
    """One thread's time with us: it is gone when the thread has ended.

    Attributes: `ident`, the thread's id; `thread`, its Thread or what stands in for it; `key`, the `id()` of that;
    `ref`, a weak reference to it; `locals`, weak references to the maps that have, or had, an entry of it, by serial.
    """

    __slots__ = ("__weakref__", "ident", "key", "locals", "ref", "thread")

    def __init__(self, ident: int, thread: threading.Thread | ForeignThread) -> None:
        self.ident = ident
        self.thread = thread
        self.key = id(thread)
        self.ref: ref[Any] = ref(thread)
        self.locals: dict[int, ref[Impl]] = {}

    def enrol(self, impl: Impl) -> None:
        """Have `impl` forget this thread when it ends, and this thread forget `impl` when that goes."""
        serial, known = impl.serial, self.locals
        if serial not in known:
            known[serial] = ref(impl, lambda _: known.pop(serial, None))

    def end(self) -> None:
        """Have every local forget the thread."""
        try:
            while self.locals:
                impl = self.locals.popitem()[1]()
                if impl is not None:
                    impl.forget(self.key)
        except KeyError:  # the last local went just now, on another thread
            pass

    def __del__(self, is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        if is_finalizing():
            return
        known = _latest.get(self.ident)
        if known is not None and known() in (self, None):
            _latest.pop(self.ident, None)
        # What a stored value's finalizer looks up or stores while we drop it still belongs to this thread.
        ident = threading.get_ident()
        outer = _ending.get(ident)
        _ending[ident] = self
        platform.follow()
        try:
            self.end()
        finally:
            if outer is None:
                _ending.pop(ident, None)
            else:
                _ending[ident] = outer
            platform.follow()


# The last lifetime that began under each thread id. A finalizer that runs when the thread's storage is all but gone
# begins one that nothing ends any more; the next thread with that id tells that its thread is over.
_latest: dict[int, ref[Lifetime]] = {}

# Lifetimes whose thread is ending just now, by the id of the thread that finalizes them.
_ending: dict[int, Lifetime] = {}


class Platform:
    """Where lifetimes are kept: in the `threading.local` that there is now.

    The first storage is kept when gevent brings another kind: the threads that began under it still end under it.
    While a lifetime ends `kind` is None: its thread's storage has gone, and a look would make one that nothing frees.

    A storage has the running thread's `lifetime`, and its `slot`, the key and the reference: a frame may hold these.
    """

    __slots__ = ("kind", "storage", "storages")

    def __init__(self) -> None:
        self.storages: dict[type[threading.local], threading.local] = {}
        self.kind: type[threading.local] | None = None
        self.follow()

    def follow(self) -> None:
        """Keep lifetimes where `threading` now says that a thread's, or a greenlet's, own data live."""
        kind = threading.local
        if kind not in self.storages:
            self.storages.setdefault(kind, kind())
        self.storage = self.storages[kind]
        self.kind = kind
        if _ending:
            self.kind = None


platform = Platform()


_threading: Any = threading  # for what is not public in it


def _nobody() -> None: ...


def _begin_lifetime() -> Lifetime:
    ident = threading.get_ident()
    ending = _ending.get(ident)
    if ending is not None:  # a greenlet's, that the hub lets go of
        return ending
    thread = _threading._active.get(ident)  # current_thread() would make a dummy
    if thread is None or isinstance(thread, _threading._DummyThread):
        thread = ForeignThread(ident)
    lifetime = platform.storage.lifetime = Lifetime(ident, thread)
    platform.storage.slot = lifetime.key, lifetime.ref
    before = _latest.get(ident, _nobody)()
    _latest[ident] = ref(lifetime)
    if before is not None:
        before.end()
    return lifetime


def current_lifetime() -> Lifetime:
    """The running thread's lifetime, begun at its first touch."""
    if threading.local is not platform.kind:
        ident = threading.get_ident()
        ending = _ending.get(ident)
        if ending is not None and ending.ident == ident:
            return ending
        platform.follow()
    try:
        lifetime: Lifetime = platform.storage.lifetime
    except AttributeError:
        return _begin_lifetime()
    return lifetime


def thread_name() -> str:
    """The running thread's name, found without making a dummy Thread for it."""
    return current_lifetime().thread.name


def in_coroutine() -> bool:
    """Whether an event loop runs on this thread."""
    asyncio = sys.modules.get("asyncio")
    get_running_loop = getattr(asyncio, "_get_running_loop", None)  # missing while another thread imports it
    return get_running_loop is not None and get_running_loop() is not None
