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
from typing import TYPE_CHECKING, Any, cast
from weakref import ref

if TYPE_CHECKING:
    from collections.abc import Callable

    from tlctx._core._local_py import _localimpl

__all__ = ["ForeignThread", "Lifetime", "current_lifetime", "thread_name"]


class ForeignThread:
    """Stands in for a thread that `threading` did not start, or no longer knows."""

    __slots__ = ("__weakref__", "name")

    def __init__(self, ident: int) -> None:
        self.name = f"foreign thread {ident}"


class Lifetime:
    """One thread's time with us: it is gone when the thread has ended."""

    __slots__ = ("__weakref__", "ident", "locals", "thread")

    def __init__(self, ident: int, thread: threading.Thread | ForeignThread) -> None:
        self.ident = ident
        self.thread = thread
        self.locals: dict[int, ref[_localimpl]] = {}

    def enrol(self, impl: _localimpl) -> None:
        """Have `impl` forget this thread when it ends, and this thread forget `impl` when that goes."""
        key, known = id(impl), self.locals

        def local_deleted(dead: ref[_localimpl]) -> None:
            if known.get(key) is dead:
                known.pop(key, None)

        known[key] = ref(impl, local_deleted)

    def end(self) -> None:
        """Have every local forget the thread."""
        try:
            while self.locals:
                impl = self.locals.popitem()[1]()
                if impl is not None:
                    impl.dicts.pop(id(self.thread), None)
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
        try:
            self.end()
        finally:
            if outer is None:
                _ending.pop(ident, None)
            else:
                _ending[ident] = outer


# The last lifetime that began under each thread id. A finalizer that runs when the thread's storage is all but gone
# begins one that nothing ends any more; the next thread with that id tells that its thread is over.
_latest: dict[int, ref[Lifetime]] = {}

# Lifetimes whose thread is ending just now, by the id of the thread that finalizes them.
_ending: dict[int, Lifetime] = {}

# The storage of lifetimes for each kind of `threading.local` met. The first is kept when gevent brings another:
# the threads that began under it still end under it.
_storage_kind: type[threading.local] = threading.local
_storage: threading.local = _storage_kind()
_storages: dict[type[threading.local], threading.local] = {_storage_kind: _storage}


def _follow_patching() -> None:
    """Keep lifetimes where `threading` now says that a thread's, or a greenlet's, own data live."""
    global _storage, _storage_kind
    kind = threading.local
    _storage = _storages.setdefault(kind, kind())
    _storage_kind = kind


def _nobody() -> None: ...


def _begin_lifetime() -> Lifetime:
    ident = threading.get_ident()
    ending = _ending.get(ident)
    if ending is not None:
        return ending
    thread = cast("Any", threading)._active.get(ident)  # current_thread() would make a dummy
    if thread is None or isinstance(thread, cast("Any", threading)._DummyThread):
        thread = ForeignThread(ident)
    lifetime = _storage.lifetime = Lifetime(ident, thread)
    before = _latest.get(ident, _nobody)()
    _latest[ident] = ref(lifetime)
    if before is not None:
        before.end()
    return lifetime


def current_lifetime() -> Lifetime:
    """The running thread's lifetime, begun at its first touch."""
    if threading.local is not _storage_kind:
        _follow_patching()
    try:
        return cast("Lifetime", _storage.lifetime)
    except AttributeError:
        return _begin_lifetime()


def thread_name() -> str:
    """The running thread's name, found without making a dummy Thread for it."""
    return current_lifetime().thread.name
