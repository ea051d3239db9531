"""What decides about an attribute of a `local` beside the thread's dict: its class, and what is refused."""

from __future__ import annotations

from types import GetSetDescriptorType
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = [
    "ReadOnlySlot",
    "check_name",
    "data_descriptor_kind",
    "instead_of",
    "is_about",
    "no_attribute",
    "object_dict_of",
    "refuse_dict",
    "refuse_frozen_dataclass",
    "refuse_half_made",
    "refuse_object_value",
]


class ReadOnlySlot:
    """A slot whose value is there to be read alone."""

    def __init__(self, slot: Any) -> None:
        self._slot = slot

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else self._slot.__get__(instance)

    def __set__(self, instance: object, value: object) -> NoReturn:
        raise AttributeError("readonly attribute")

    def __delete__(self, instance: object) -> NoReturn:
        raise AttributeError("readonly attribute")


def data_descriptor_kind(kind: type) -> type | None:
    """`kind` if its instances are data descriptors, else None."""
    for base in kind.__mro__:  # as the interpreter looks; hasattr() would make an exception for most
        names = base.__dict__
        if "__set__" in names or "__delete__" in names:
            return kind
    return None


def object_dict_of(classes: Iterable[Mapping[str, Any]]) -> Callable[[Any], dict[str, Any]] | None:
    """What gets an object's own dict, if a class without `__slots__` is among those with these names."""
    for names in classes:
        getter = names.get("__dict__")
        if type(getter) is GetSetDescriptorType:
            return getter.__get__
    return None


def is_about(error: AttributeError, owner: object, name: str) -> bool:
    """Whether it says that `owner` has no `name`, and not something else, in the code of a property say."""
    try:
        return error.obj is owner and bool(error.name == name)
    except Exception:  # noqa: BLE001  # of an AttributeError with an `obj` or a `name` of its own
        return False


def instead_of(error: AttributeError, owner: Any, values: Any) -> BaseException:
    """What the hook of `owner` makes of `error`, to be raised while that is handled.

    `values` yields the dict in which the name was looked up: an iterator, since a traceback shows nothing of one.
    """
    better: Any = type(owner)._local__attribute_error(owner, error, next(values))
    if isinstance(better, type):
        better = better()
    if better is not error and isinstance(better, BaseException):
        better.__cause__ = None  # as `from None` does
    return better  # type: ignore[no-any-return]


def no_attribute(owner: object, name: str) -> AttributeError:
    """The error for an attribute that is not there, in the interpreter's words."""
    return AttributeError(f"{type(owner).__name__!r} object has no attribute {name!r}", name=name, obj=owner)


def check_name(name: object) -> None:
    """Raise TypeError if an attribute can't have this name."""
    if not isinstance(name, str):
        raise TypeError(f"attribute name must be string, not {type(name).__name__!r}")


def refuse_dict(owner: object) -> NoReturn:
    """Raise for assigning or deleting `__dict__`."""
    raise AttributeError(
        f"{type(owner).__name__!r} object attribute '__dict__' is read-only", name="__dict__", obj=owner
    )


def refuse_half_made(owner: object) -> NoReturn:
    """Raise for an object that `local.__new__` has not made."""
    kind = type(owner).__name__
    raise AttributeError(f"object.__new__({kind}) is not safe, use {kind}.__new__()") from None


def refuse_object_value(owner: object, name: str) -> NoReturn:
    """Raise for reading what was written past the local."""
    raise AttributeError(
        f"{type(owner).__name__!r} object attribute {name!r} was written past the local, by object.__setattr__() for "
        "example: all threads would share it. Assign it, or use setattr()"
    )


def refuse_frozen_dataclass(cls: Any) -> None:
    """Raise TypeError for a frozen dataclass: it assigns its fields past the local, with `object.__setattr__()`."""
    params = getattr(cls, "__dataclass_params__", None)
    if params is None or not params.frozen or not cls.__dataclass_fields__:
        return
    if any("__dict__" in vars(base) for base in cls.__mro__):
        raise TypeError(
            f"{cls.__name__} can't be a frozen dataclass: it would assign its fields past the local, so that all "
            "threads would share them"
        )
