"""Which thread runs here, and when it has ended: one ThreadRecord for each thread that uses a `local`.

Theory of operation
===================

The only strong reference to a record lies in the storage that the platform keeps for the running thread
(`threading.local`), so a record goes at the moment its thread ends. Its finalizer has every `local` forget the thread.

`threading` is asked by name each time: gevent swaps `threading.local` and `threading.get_ident` when it patches,
perhaps after this module was imported, and from then on a greenlet is a thread.

A thread that `threading` did not start has no Thread object to rely on. Up to CPython 3.12.1 `current_thread()` hands
the next one that gets the same id the dead one's `_DummyThread`, and asking for it while a thread ends leaves a dummy
behind. So `current_thread()` is never called; a ForeignThread stands in, made when such a thread first comes by.
"""

from __future__ import annotations

import _thread
import sys
import threading
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any
from weakref import ref

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    class Impl(Protocol):
        """The map behind a `local`, as far as a thread's record knows it."""

        @property
        def serial(self) -> int:
            """A number of its own."""

        def forget(self, key: int, /) -> None:
            """Drop the entry under the id `key` of a Thread."""


__all__ = [
    "ForeignThread",
    "ThreadRecord",
    "ThreadStorage",
    "current_record",
    "next_serial",
    "record_of",
    "storage",
    "thread_name",
]


next_serial = count(1).__next__
"""A number for the map behind a `local`, of either implementation, that no other one of this interpreter has."""


class ForeignThread:
    """Stands in for a thread that `threading` did not start, or no longer knows."""

    __slots__ = ("__weakref__", "name")

    def __init__(self, ident: int) -> None:
        self.name = f"foreign thread {ident}"


class ThreadRecord:
    """What we know of one thread; it goes when the thread ends.

    Attributes: `ident`, the thread's id; `thread`, its Thread or what stands in for it; `key`, the `id()` of that;
    `ref`, a weak reference to it; `locals`, weak references to the maps that have, or had, an entry of it, by serial;
    `greenlet`, a weak reference to the greenlet that counts as this thread, or None.
    """

    __slots__ = ("__weakref__", "greenlet", "ident", "key", "locals", "ref", "thread")

    def __init__(self, ident: int, thread: threading.Thread | ForeignThread) -> None:
        self.ident = ident
        self.thread = thread
        self.key = id(thread)
        self.ref: ref[Any] = ref(thread)
        self.locals: dict[int, ref[Impl]] = {}
        self.greenlet: ref[Any] | None = None

    def register(self, impl: Impl) -> None:
        """Have `impl` forget this thread when it ends, and this thread forget `impl` when that goes."""
        serial, known = impl.serial, self.locals
        if serial not in known:
            # No closure: CPython 3.12 and 3.13 crash where making one runs out of memory. The default is the reference.
            known[serial] = ref(impl, partial(known.pop, serial))

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
        if is_finalizing() or not hasattr(self, "locals"):  # a half-made one, whose __init__ did not end
            return
        latest = _latest.get(self.ident)
        if latest is not None and latest() in (self, None):
            _latest.pop(self.ident, None)
        # What a stored value's finalizer looks up or stores while we drop it still belongs to this thread.
        ident = threading.get_ident()
        outer = _ending.get(ident)
        _ending[ident] = self
        storage.refresh()
        try:
            self.end()
        finally:
            if outer is None:
                _ending.pop(ident, None)
            else:
                _ending[ident] = outer
            storage.refresh()


# The last record made under each thread id. A finalizer that runs when the thread's storage is all but gone makes one
# that nothing ends any more; the next thread with that id shows that its thread is over.
_latest: dict[int, ref[ThreadRecord]] = {}

# Records whose thread is ending just now, by the id of the thread that finalizes them.
_ending: dict[int, ThreadRecord] = {}


class ThreadStorage:
    """Where records are kept: in an instance of the `threading.local` that there is now.

    `here` is that instance. It has the running thread's `record`, and its `identity`, the record's key and reference,
    which a frame may hold without keeping the record. `kind` is the class of `here`. While a record ends `kind` is
    None: its thread's storage has gone, and a look would make one that nothing frees.

    The first instance is kept when gevent brings another class: the threads that began under it still end under it.
    """

    __slots__ = ("_instances", "here", "kind")

    def __init__(self) -> None:
        self._instances: dict[type[threading.local], threading.local] = {}
        self.kind: type[threading.local] | None
        self.refresh()

    def refresh(self) -> None:
        """Keep records where `threading` now says that a thread's, or a greenlet's, own data live."""
        kind = threading.local
        if kind not in self._instances:
            self._instances.setdefault(kind, _platform_local(kind)())
        self.here = self._instances[kind]
        self.kind = kind
        if _ending:
            self.kind = None


def _platform_local(kind: type[threading.local]) -> type[threading.local]:
    """`kind`, or the interpreter's own class where somebody has put ours in the place of `threading.local`."""
    return _thread._local if hasattr(kind, "_local__impl") else kind


storage = ThreadStorage()

_threading: Any = threading  # for what is not public in it


def _nothing() -> None: ...


def _begin_record() -> ThreadRecord:
    ident = threading.get_ident()
    ending = _ending.get(ident)
    if ending is not None:  # a greenlet's, that the hub lets go of
        return ending
    thread = _threading._active.get(ident)  # current_thread() would make a dummy
    if thread is None or isinstance(thread, _threading._DummyThread):
        thread = ForeignThread(ident)
    record = storage.here.record = ThreadRecord(ident, thread)
    storage.here.identity = record.key, record.ref
    getcurrent = getattr(sys.modules.get("greenlet"), "getcurrent", None)
    if getcurrent is not None and type(storage.here).__module__ != "_thread":  # gevent or eventlet has patched it
        record.greenlet = ref(getcurrent())
    before = _latest.get(ident, _nothing)()
    _latest[ident] = ref(record)
    if before is not None:
        before.end()
    return record


def current_record() -> ThreadRecord:
    """The running thread's record, made at its first touch."""
    if threading.local is not storage.kind:
        ident = threading.get_ident()
        ending = _ending.get(ident)
        if ending is not None and ending.ident == ident:
            return ending
        storage.refresh()
    try:
        record: ThreadRecord = storage.here.record
    except AttributeError:
        return _begin_record()
    return record


def thread_name() -> str:
    """The running thread's name, found without making a dummy Thread for it."""
    return current_record().thread.name


def record_of(ident: int) -> ThreadRecord | None:
    """The record of the running thread that has this id, if it has one."""
    record = _latest.get(ident)
    return None if record is None else record()
