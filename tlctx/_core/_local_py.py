"""`local` in plain Python: one object that holds other attributes in every thread.

Theory of operation
===================

    the thread's own storage --> Lifetime --> Thread
                                   |            ^
                                   | ref        | ref
                                   v            |
    local --> _localimpl.dicts: {id(Thread): (ref(Thread), dict)}

1.  *A look-up trusts no id.* The map is keyed by `id(Thread)`, which is fast; the entry counts only while its weak
    reference still leads to the very thread that asks. Ids are reused, live objects are not.

2.  *An entry lives as long as its thread runs.* The only strong reference to a `Lifetime` lies in the storage that the
    platform keeps for the running thread (`threading.local`), so it dies at the moment the thread ends: not when its
    Thread object is collected, which may be never, and not before. Its finalizer removes the thread's entries. Nothing
    that a thread stores leads back to its lifetime, so no cycle through a value can hold on to it.

3.  *A local that dies takes its dicts along*: they hang on its `_localimpl`. Lifetimes refer to it weakly.

4.  *No lock, and no user code in the middle.* Every step on a shared map is one atomic dict operation, so a finalizer
    or a signal handler that runs between two steps may use the same local, and `fork` can't copy a held lock.

"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, cast
from weakref import ref

from tlctx._core.lifetime import current_lifetime

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["local", "peek_dict", "swap_dict"]

_MISSING: Any = object()
_NO_ENTRY = (None, None)
_get = dict.get  # a context's dict may refuse its own `get`


class _localimpl:
    """The map behind one `local`, from each thread to that thread's dict."""

    __slots__ = ("__weakref__", "dicts", "localargs")

    def __init__(self, localargs: tuple[tuple[Any, ...], dict[str, Any]]) -> None:
        self.dicts: dict[int, tuple[ref[Any], dict[str, Any]]] = {}
        self.localargs = localargs

    def get_dict(self) -> dict[str, Any]:
        """The running thread's dict. Raises KeyError if it has none."""
        thread = current_lifetime().thread
        wrthread, localdict = self.dicts[id(thread)]
        if wrthread() is not thread:
            raise KeyError(id(thread))
        return localdict

    def create_dict(self) -> dict[str, Any]:
        """Make a new, empty dict the running thread's, and return it."""
        localdict: dict[str, Any] = {}
        self.swap_dict(localdict)
        return localdict

    def swap_dict(self, new: dict[str, Any] | None) -> dict[str, Any] | None:
        """Make `new` the running thread's dict and return the one before; None stands for no dict."""
        lifetime = current_lifetime()
        thread = lifetime.thread
        key = id(thread)
        wrthread, old = self.dicts.get(key, _NO_ENTRY)
        if new is None:
            self.dicts.pop(key, None)
        else:
            known = lifetime.locals.get(id(self))
            if known is None or known() is not self:
                lifetime.enrol(self)
            self.dicts[key] = ref(thread), new
        return old if wrthread is not None and wrthread() is thread else None


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
        self = object.__new__(cls)
        impl = _localimpl((args, kw))
        object.__setattr__(self, "_local__impl", impl)
        # The caller runs __init__ here and now; with a dict in place we won't run it a second time.
        impl.create_dict()
        return self

    def __getattribute__(self, name: str, /) -> Any:
        try:
            localdict = _impl_of(self).get_dict()
        except KeyError:
            localdict = type(self)._local__adopt(self)
        if name == "__dict__":
            return localdict
        value = _get(localdict, name, _MISSING)
        if value is not _MISSING and not _class_decides_reads(type(self), name):
            return value
        del localdict, value  # so that no traceback from here on shows them
        try:
            return object.__getattribute__(self, name)
        except AttributeError as error:
            if error.obj is not self or error.name != name:
                raise  # out of a property's code: the user's own
            raise type(self)._local__absent(self, error) from None

    def __setattr__(self, name: str, value: Any, /) -> None:
        try:
            if name == "__dict__":
                _refuse_dict(self)
            localdict = _dict_of(self)
            if _class_decides(type(self), name):
                object.__setattr__(self, name, value)
            else:
                localdict[name] = value
        except BaseException:
            localdict, value = {}, None  # so that no traceback shows them
            raise

    def __delattr__(self, name: str, /) -> None:
        if name == "__dict__":
            _refuse_dict(self)
        localdict = _dict_of(self)
        if _class_decides(type(self), name):
            del localdict
            object.__delattr__(self, name)
            return
        try:
            del localdict[name]
        except KeyError:
            del localdict
            missing = AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)
            raise type(self)._local__absent(self, missing) from None

    def __reduce_ex__(self, protocol: Any, /) -> NoReturn:
        raise TypeError(f"a {type(self).__name__!r} can't be copied or pickled: the copy would be one more name for it")

    def _local__adopt(self) -> dict[str, Any]:
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

    def _local__absent(self, error: AttributeError) -> AttributeError:
        """Hook: the exception to raise where `error` says that there is no such attribute."""
        return error


_impl_of: Callable[[Any], _localimpl] = cast("Any", local)._local__impl.__get__


def _dict_of(owner: local) -> dict[str, Any]:
    try:
        return _impl_of(owner).get_dict()
    except KeyError:
        return type(owner)._local__adopt(owner)


def _class_decides(cls: type, name: str) -> bool:
    """Whether `name` is a data descriptor on the class, which comes before any instance's dict."""
    kind = _kind_on_class(cls, name)
    return kind is not None and (hasattr(kind, "__set__") or hasattr(kind, "__delete__"))


def _class_decides_reads(cls: type, name: str) -> bool:
    """The same for reading, where it has to have a `__get__` too: the order of `object.__getattribute__`."""
    kind = _kind_on_class(cls, name)
    return kind is not None and hasattr(kind, "__get__") and (hasattr(kind, "__set__") or hasattr(kind, "__delete__"))


def _kind_on_class(cls: type, name: str) -> type | None:
    for base in cls.__mro__:
        if name in base.__dict__:
            return type(base.__dict__[name])
    return None


def _refuse_dict(owner: local) -> NoReturn:
    raise AttributeError(
        f"{type(owner).__name__!r} object attribute '__dict__' is read-only", name="__dict__", obj=owner
    )


def swap_dict(owner: Any, new: dict[str, Any] | None) -> Any:
    """Make `new` the running thread's dict in `owner`, a `local`, and return the one before; None stands for none."""
    return _impl_of(owner).swap_dict(new)


def peek_dict(owner: Any) -> Any:
    """The running thread's dict in `owner`, a `local`, or None: unlike attribute access it makes none."""
    try:
        return _impl_of(owner).get_dict()
    except KeyError:
        return None
