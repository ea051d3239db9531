"""How the class of a RequestContext is read when it is made: its fields, their defaults, its methods."""

from __future__ import annotations

import difflib
import functools
import inspect
from types import MemberDescriptorType
from typing import TYPE_CHECKING, Any, NoReturn

from tlctx._core.annotations import annotated_names, without_annotations
from tlctx._core.propagation import namespace_of
from tlctx._core.scope import Scope

if TYPE_CHECKING:
    from tlctx._core.context import RequestContext

__all__ = ["Field", "declare_fields", "guard_methods", "missing_attribute", "run_init_in_scopes"]

_UNSET: Any = object()


class Field:
    """What a declared name is on its class: only reached while the namespace has no value for it."""

    def __init__(self, name: str, default: Any = _UNSET) -> None:
        self.name = name
        self.default = default

    @property
    def has_default(self) -> bool:
        return self.default is not _UNSET

    def __get__(self, context: RequestContext | None, owner: type) -> Any:
        if context is not None:
            raise missing_attribute(context, self.name)
        if not self.has_default:
            raise AttributeError(f"{owner.__name__}.{self.name} has no default")
        return self.default


class _Method:
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


def missing_attribute(context: RequestContext, name: str) -> AttributeError:
    """The error for reading `name`, which has no value here and now: it says why, and which name may be meant."""
    namespace, cls = namespace_of(context), type(context)
    refusal = namespace.refusal(f"reading {name!r}")
    if refusal is not None:
        return refusal
    if isinstance(inspect.getattr_static(cls, name, None), Field):
        return AttributeError(
            f"{cls.__name__}.{name} is declared, but has no value in {namespace.scope} yet: assign it before it is "
            "read, or give it a default in the class",
            name=name,
        )
    known = {*namespace, *(known for known in dir(cls) if not known.startswith("_"))}
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]!r}?" if close else "assign it before it is read, or declare it in the class"
    # With a name and no object, the interpreter does not add a suggestion of its own.
    return AttributeError(f"{cls.__name__} has no {name!r} in {namespace.scope}: {hint}", name=name)


def declare_fields(cls: type) -> dict[str, Any]:
    """Put a Field on `cls` for every name that it or a base declares, and return the defaults by name.

    Raises TypeError for a mutable default, a slot, and a field that has a method's name.
    """
    fields: dict[str, Field] = {}
    for base in reversed(cls.__mro__):
        _add_own_fields(base, fields, mixin=not hasattr(base, "_local__defaults"))
    for name, field in fields.items():
        if any(isinstance(vars(base).get(name), _Method) for base in cls.__mro__):
            raise TypeError(f"field {name!r} of {cls.__name__} would hide the method of that name: choose another")
        setattr(cls, name, field)
    return {name: field.default for name, field in fields.items() if field.has_default}


def _add_own_fields(base: type, fields: dict[str, Field], *, mixin: bool) -> None:
    annotations = annotated_names(base)
    own = {name: value for name, value in vars(base).items() if not annotations.get(name)}
    for name, value in own.items():
        annotated = name in annotations
        if isinstance(value, Field):
            fields[name] = value
        elif _is_descriptor(value) and not (annotated and inspect.isroutine(value)):
            fields.pop(name, None)  # a property, say, in place of a base's field
            _refuse_slot(base, name, value)
        elif not name.startswith(("__", "_local__")):
            if annotated or not mixin:
                _refuse_mutable(base, name, value)
            if annotated or name in fields:
                fields[name] = Field(name, value)
    for name, is_class_variable in annotations.items():
        if name not in own and name not in fields and not is_class_variable:
            fields[name] = Field(name)


def _is_descriptor(value: Any) -> bool:
    return hasattr(type(value), "__get__")


def _refuse_slot(base: type, name: str, value: Any) -> None:
    if isinstance(value, MemberDescriptorType) and not name.startswith("_local__"):
        raise TypeError(f"slot {name!r} of {base.__name__} would be shared by all requests: annotate it as a field")


def _refuse_mutable(base: type, name: str, value: Any) -> None:
    if type(value).__hash__ is None:
        raise TypeError(
            f"mutable default {type(value).__name__} for {base.__name__}.{name} would be shared by all requests: "
            "make it with a @per_request method, or annotate it as ClassVar if it is meant to be shared"
        )


def guard_methods(cls: type) -> None:
    """Make the methods that `cls` itself defines refuse assignment to their names."""
    annotations = annotated_names(cls)
    for name, value in list(vars(cls).items()):
        if not name.startswith(("__", "_local__")) and name not in annotations and _is_method(value):
            setattr(cls, name, _Method(name, value))


def _is_method(value: Any) -> bool:
    wrapped = isinstance(value, classmethod | staticmethod | functools.partialmethod)
    return wrapped or (_is_descriptor(value) and callable(value))


def run_init_in_scopes(cls: type) -> None:
    """Have the `__init__` of `cls`, if it has one, run at the start of each scope, not when a context is made."""
    init: Any = cls.__init__  # type: ignore[misc]
    if init is object.__init__ or hasattr(init, "_local__in_scopes"):
        return

    @functools.wraps(init)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        if Scope.current(self) is not None:
            init(self, *args, **kwargs)
        else:
            inspect.signature(without_annotations(init)).bind(self, *args, **kwargs)  # wrong arguments are told at once

    __init__._local__in_scopes = True  # type: ignore[attr-defined]
    cls.__init__ = __init__  # type: ignore[misc]
