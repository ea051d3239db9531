"""`local` in plain Python: one object that holds other attributes in every thread.

Theory of operation
===================

    the thread's own storage --> ThreadRecord --> Thread
                                      |             ^
                                      | ref         | ref
                                      v             |
    local --> _localimpl.dicts: {id(Thread): (ref(Thread), dict)}

1.  *A look-up trusts no id.* The map is keyed by `id(Thread)`, which is fast; the entry counts only while its weak
    reference still leads to the very thread that asks. Ids are reused, live objects are not.

2.  *An entry lives as long as its thread runs.* A ThreadRecord goes when its thread ends (see `threads.py`), and its
    finalizer removes the thread's entries: not when the Thread object is collected, which may be never, and not
    before. Nothing that a thread stores leads back to its record, so no cycle through a value can keep the record.

3.  *A local that dies takes its dicts along*: they hang on its `_localimpl`. Records refer to it weakly.

4.  *No lock, and no user code in the middle.* Every step on a shared map is one atomic dict operation, so a finalizer
    or a signal handler that runs between two steps may use the same local, and `fork` can't copy a held lock.
"""

from __future__ import annotations

import threading
from types import GetSetDescriptorType
from typing import TYPE_CHECKING, Any, NoReturn, cast

from tlctx._core._py import attributes
from tlctx._core.threads import current_record, next_serial, storage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from weakref import ref

    from tlctx._core.threads import ThreadRecord

__all__ = ["local", "peek_dict", "swap_dict"]

_MISSING: Any = object()
_NO_ENTRY: Any = (None, None)
_GETSETS = frozenset({"__class__", "__dict__"})
"""Data descriptors that every object has: `object`'s own, and one that is spelled out below."""
_get = dict.get  # a context's dict may refuse its own `get`


class _localimpl:
    """The map behind one `local`, from each thread to that thread's dict."""

    __slots__ = ("__weakref__", "dicts", "localargs", "mro", "names", "object_dict", "serial")

    def __init__(self, localargs: tuple[tuple[Any, ...], dict[str, Any]]) -> None:
        self.dicts: dict[int, tuple[ref[Any], dict[str, Any]]] = {}
        self.localargs = localargs
        self.serial = next_serial()
        self.mro: tuple[type, ...] = ()
        self.names: tuple[Mapping[str, Any], ...] = ()
        self.object_dict: Callable[[Any], dict[str, Any]] | None = None

    def get_dict(self) -> dict[str, Any]:
        """The running thread's dict. Raises KeyError if it has none."""
        # As current_record() does, without the call.
        try:
            record = storage.here.record if threading.local is storage.kind else current_record()
        except AttributeError:
            record = current_record()
        wrthread, localdict = self.dicts[record.key]
        if wrthread is not record.ref and wrthread() is not record.thread:
            raise KeyError(record.key)
        return localdict

    def create_dict(self) -> dict[str, Any]:
        """Make a new, empty dict the running thread's, and return it."""
        localdict: dict[str, Any] = {}
        self.swap_dict(localdict)
        return localdict

    def swap_dict(self, new: dict[str, Any] | None) -> dict[str, Any] | None:
        """Make `new` the running thread's dict and return the one before; None stands for no dict."""
        return self.swap_dict_of(current_record(), new)

    def swap_dict_of(self, record: ThreadRecord, new: dict[str, Any] | None) -> dict[str, Any] | None:
        """Like `swap_dict`, for callers that already hold the thread's record."""
        old = self.dict_of(record)
        if new is None:
            self.dicts.pop(record.key, None)
        else:
            if self.serial not in record.locals:
                record.register(self)
            self.dicts[record.key] = record.ref, new
        return old

    def dict_of(self, record: ThreadRecord) -> dict[str, Any] | None:
        """The dict of the thread whose record that is, or None."""
        wrthread, localdict = self.dicts.get(record.key, _NO_ENTRY)
        own = wrthread is record.ref or (wrthread is not None and wrthread() is record.thread)
        return localdict if own else None

    def forget(self, key: int, /) -> None:
        """Drop the entry under the id `key` of a Thread, which has ended."""
        self.dicts.pop(key, None)

    def descriptor_kind(self, cls: type, name: str) -> type | None:
        """The type of the data descriptor that `name` is on `cls`, or None: one comes before any instance's dict."""
        for names in self.names if cls.__mro__ is self.mro else self.look_at(cls):
            if name in names:
                return attributes.data_descriptor_kind(type(names[name]))
        return GetSetDescriptorType if name in _GETSETS else None

    def look_at(self, cls: type) -> tuple[Mapping[str, Any], ...]:
        """Keep the views of what the bases of `cls` define, which follow every change; all but those of `object`."""
        names = self.names = tuple([vars(base) for base in cls.__mro__[:-1]])
        self.object_dict = attributes.object_dict_of(names)
        self.mro = cls.__mro__
        return names

    def is_in_object_dict(self, owner: local, name: str) -> bool:
        """Whether `name` comes from the dict that the interpreter gives an object whose class has no `__slots__`.

        All threads share that one. Only what goes past the local writes to it, as `object.__setattr__` does.
        """
        cls = type(owner)
        if cls.__mro__ is not self.mro:
            self.look_at(cls)
        if self.object_dict is None or name not in self.object_dict(owner):
            return False
        return self.descriptor_kind(cls, name) is None


class local:
    """Thread-local data: a drop-in for `threading.local`.

    Each thread (under gevent each greenlet) that touches the object sees attributes of its own, which are gone when it
    has ended. The `__init__` of a subclass runs again, with the constructor's arguments, in every thread.

    Raises TypeError for arguments without an `__init__` to take them, and when copied or pickled.
    """

    __slots__ = ("__weakref__", "_local__impl")

    def __new__(cls, /, *args: Any, **kw: Any) -> Any:
        if (args or kw) and cls.__init__ is object.__init__:
            raise TypeError(f"{cls.__name__}() takes no arguments: it has no __init__ that would use them")
        attributes.refuse_frozen_dataclass(cls)
        self = object.__new__(cls)
        impl = _localimpl((args, kw))
        _slot.__set__(self, impl)
        # The caller runs __init__ here and now; with a dict in place we won't run it a second time.
        impl.create_dict()
        return self

    def __getattribute__(self, name: str, /) -> Any:
        localdict: dict[str, Any] | None
        try:
            impl = _impl_of(self)
            # As get_dict() and descriptor_kind() do, without the calls. A record in a frame might outlive its thread.
            key, ref = storage.here.identity if threading.local is storage.kind else _NO_ENTRY
            wrthread, localdict = impl.dicts[key]
            if wrthread is not ref:
                localdict = None
        except (AttributeError, KeyError):
            localdict = None
        if localdict is None:
            localdict = _dict_of(self)
        value = _get(localdict, name, _MISSING)
        if value is not _MISSING:
            cls = type(self)
            for names in impl.names if cls.__mro__ is impl.mro else impl.look_at(cls):
                if name in names:
                    break
            else:
                if name not in _GETSETS:
                    return value
            kind = impl.descriptor_kind(cls, name)
            if kind is None or not hasattr(kind, "__get__"):
                return value
        if name == "__dict__":
            return localdict
        values = iter((localdict,))
        localdict, names, value = {}, {}, None  # so that no traceback from here on shows them
        return _look_up(self, impl, name, values)

    def __setattr__(self, name: str, value: Any, /) -> None:
        try:
            if name == "__dict__":
                attributes.refuse_dict(self)
            if type(name) is not str:
                attributes.check_name(name)
            localdict: dict[str, Any] | None
            try:  # as above
                impl = _impl_of(self)
                key, ref = storage.here.identity if threading.local is storage.kind else _NO_ENTRY
                wrthread, localdict = impl.dicts[key]
                if wrthread is not ref:
                    localdict = None
            except (AttributeError, KeyError):
                localdict = None
            if localdict is None:
                localdict = _dict_of(self)
            cls = type(self)
            for names in impl.names if cls.__mro__ is impl.mro else impl.look_at(cls):
                if name in names and impl.descriptor_kind(cls, name):
                    break
            else:
                if name not in _GETSETS:
                    localdict[name] = value
                    return
            object.__setattr__(self, name, value)
        except BaseException:
            localdict, names, value = {}, {}, None  # so that no traceback shows them
            raise

    def __delattr__(self, name: str, /) -> None:
        if name == "__dict__":
            attributes.refuse_dict(self)
        attributes.check_name(name)
        localdict = _dict_of(self)
        if _impl_of(self).descriptor_kind(type(self), name):
            del localdict
            object.__delattr__(self, name)
            return
        try:
            del localdict[name]
        except KeyError:
            pass
        else:
            return
        values, localdict = iter((localdict,)), {}
        try:
            raise attributes.no_attribute(self, name)  # not above, where the KeyError would become its context
        except AttributeError as error:
            raise attributes.instead_of(error, self, values)

    def __reduce_ex__(self, protocol: Any, /) -> NoReturn:
        raise TypeError(f"a {type(self).__name__!r} can't be copied or pickled: the copy would be one more name for it")

    def _local__make_dict(self) -> dict[str, Any]:
        """Hook: the dict for a thread that has none."""
        impl = _impl_of(self)
        args, kw = impl.localargs
        localdict = impl.create_dict()
        try:
            type(self).__init__(self, *args, **kw)
        except BaseException:
            impl.swap_dict(None)
            raise
        return localdict

    def _local__attribute_error(self, error: AttributeError, values: dict[str, Any]) -> AttributeError:
        """Hook: the exception to raise where `error` says that there is no such attribute, and not in `values`."""
        return error


del cast("Any", local).__weakref__  # which `threading.local` has no such attribute for; the place for it stays
_slot: Any = cast("Any", local)._local__impl
_impl_of: Callable[[Any], _localimpl] = _slot.__get__
cast("Any", local)._local__impl = attributes.ReadOnlySlot(_slot)


def _dict_of(owner: local) -> dict[str, Any]:
    """The running thread's dict in `owner`; the hook makes one if it has none."""
    try:
        impl = _impl_of(owner)
    except AttributeError:
        attributes.refuse_half_made(owner)
    try:
        return impl.get_dict()
    except KeyError:
        pass  # not here, where it would become the context of what the hook raises
    localdict: dict[str, Any] = type(owner)._local__make_dict(owner)
    return localdict


def _look_up(owner: local, impl: _localimpl, name: str, values: Iterator[dict[str, Any]]) -> Any:
    """What the interpreter finds under `name`, which was not in the dict that `values` yields, or the hook's error."""
    try:
        value = object.__getattribute__(owner, name)
    except AttributeError as error:
        if not attributes.is_about(error, owner, name):
            raise  # out of a property's code: the user's own
        raise attributes.instead_of(error, owner, values)
    if impl.is_in_object_dict(owner, name):
        value = None  # so that no traceback shows it
        attributes.refuse_object_value(owner, name)
    return value


def swap_dict(owner: Any, new: dict[str, Any] | None) -> Any:
    """Make `new` the running thread's dict in `owner`, a `local`, and return the one before; None stands for none."""
    return _impl_of(owner).swap_dict(new)


def peek_dict(owner: Any) -> Any:
    """The running thread's dict in `owner`, a `local`, or None: unlike attribute access it makes none."""
    try:
        return _impl_of(owner).get_dict()
    except KeyError:
        return None
