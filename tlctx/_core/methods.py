"""The methods of a context: no value of a request may hide one, and nothing else in a subclass."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, NoReturn

from tlctx._core.annotations import annotated_names, without_annotations

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "NOTHING",
    "Method",
    "check_assignable",
    "class_attribute",
    "class_attributes",
    "gives_a_value",
    "guard_methods",
    "is_method",
    "refuse_hidden_methods",
]

NOTHING: Any = object()
"""In the place of an attribute that is not there."""


class Method:
    """A method of a context, as a data descriptor: a value assigned to its name would hide it in that request."""

    def __init__(self, name: str, method: Any) -> None:
        self.name = name
        self.method = method
        self.__doc__ = method.__doc__
        self.__isabstractmethod__ = getattr(method, "__isabstractmethod__", False)

    def __get__(self, context: Any, owner: type | None = None) -> Any:
        return self.method.__get__(context, owner)

    def __set__(self, context: Any, value: Any) -> NoReturn:
        del value  # so that no traceback shows it
        self._refuse(context, "assigned")

    def __delete__(self, context: Any) -> NoReturn:
        self._refuse(context, "deleted")

    def _refuse(self, context: Any, what: str) -> NoReturn:
        raise AttributeError(
            f"{type(context).__name__}.{self.name} is a method and can't be {what}: choose another name"
        )


def class_attributes(cls: type) -> dict[str, Any]:
    """What `cls` has under each name, its own or inherited, as it is there: no descriptor is asked."""
    return {name: value for base in reversed(cls.__mro__) for name, value in vars(base).items()}


def class_attribute(cls: type, name: Any) -> Any:
    """The same for one name; NOTHING if the class has nothing there."""
    return next((vars(base)[name] for base in cls.__mro__ if name in vars(base)), NOTHING)


def guard_methods(cls: type) -> None:
    """Make the methods that `cls` itself defines refuse assignment to their names."""
    annotations = annotated_names(cls)
    for name, value in list(vars(cls).items()):
        if not name.startswith(("__", "_local__")) and name not in annotations and is_method(value):
            setattr(cls, name, Method(name, value))


def is_method(value: Any) -> bool:
    """Whether it is a method where it stands in a class."""
    wrapped = isinstance(value, Method | classmethod | staticmethod | functools.partialmethod)
    return wrapped or (hasattr(type(value), "__get__") and callable(value))


def check_assignable(context: Any, name: Any) -> None:
    """Raise if `name` can't have a value in a request of `context`, as an attribute: its class decides about it."""
    if not isinstance(name, str):
        raise TypeError(f"attribute name must be string, not {type(name).__name__!r}")
    found = class_attribute(type(context), name)
    if isinstance(found, Method):
        found._refuse(context, "assigned")
    if hasattr(type(found), "__set__") or name == "__dict__":
        raise AttributeError(f"{type(context).__name__}.{name} is no plain value: assign it, or leave it")


def gives_a_value(value: Any) -> bool:
    """Whether it is a descriptor, and no method, where it stands in a class: a field, a per_request, a property."""
    kind = type(value)
    return (hasattr(kind, "__get__") or hasattr(kind, "__set__")) and not is_method(value)


def refuse_hidden_methods(cls: type, base: type) -> None:
    """Raise TypeError if `cls` has something else under the name of a method of `base`.

    Another method has to take the same arguments: then it is an override.
    """
    found = class_attributes(cls)
    for name, ours in vars(base).items():
        other = found[name]
        if not isinstance(ours, Method) or other is ours:
            continue
        if not is_method(other):
            raise TypeError(f"{name!r} of {cls.__name__} would hide the method of that name: choose another")
        if not _takes_what(ours.method, _plain(other)):
            raise TypeError(
                f"{cls.__name__}.{name}() would hide the method {name}() of {base.__name__}, and can't be called as "
                "that can: have it take the same arguments, or choose another name"
            )


def _plain(method: Any) -> Any:
    return method.method if isinstance(method, Method) else method


def _takes_what(ours: Any, other: Any) -> bool:
    """Whether `other` can be called as `ours` can, a plain function."""
    try:
        signature = inspect.signature(without_annotations(getattr(other, "__func__", other)))
    except (NameError, TypeError, ValueError):  # it tells nobody what it takes
        return True
    for args, kwargs in _calls_of(ours):
        try:
            signature.bind(*(args[1:] if isinstance(other, staticmethod) else args), **kwargs)
        except TypeError:
            return False
    return True


def _calls_of(function: Any) -> Iterator[tuple[list[str], dict[str, str]]]:
    """The arguments of its shortest call, and of its longest."""
    parameters = inspect.signature(without_annotations(function)).parameters.values()
    positional = [one for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    yield [one.name for one in positional if one.default is one.empty], {}
    kinds = {one.kind for one in parameters}
    more = ["one more"] if inspect.Parameter.VAR_POSITIONAL in kinds else []
    names = {"any_name": "its value"} if inspect.Parameter.VAR_KEYWORD in kinds else {}
    yield [one.name for one in positional] + more, names
