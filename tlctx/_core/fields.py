"""How the class of a RequestContext is read when it is made: its fields, their defaults, its `__init__`."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from types import MemberDescriptorType
from typing import TYPE_CHECKING, Any

from tlctx._core.annotations import annotated_names, without_annotations
from tlctx._core.methods import Method, class_attributes, gives_a_value
from tlctx._core.namespace import Defaults, Namespace, StrictNamespace
from tlctx._core.scope import Scope

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tlctx._core.context import RequestContext

__all__ = [
    "Field",
    "check_not_copied",
    "declare_fields",
    "declared_names",
    "defaults_of",
    "not_copied_names",
    "run_init_in_scopes",
]

_UNSET: Any = object()
_PLAIN: Any = dataclasses.field()
_OPTIONS = sorted({*dataclasses.Field.__slots__} - {"name", "type", "default", "default_factory", "_field_type"})


class Field:
    """What a declared name is on its class: only reached while the namespace has no value for it."""

    def __init__(self, name: str, default: Any = _UNSET, made_by: Any = None) -> None:
        self.name = name
        self.default = default
        self.made_by = made_by
        """A `dataclasses.field` with the factory of the default."""

    @property
    def has_default(self) -> bool:
        return self.default is not _UNSET

    def __get__(self, context: RequestContext | None, owner: type) -> Any:
        if context is not None:
            text = f"{owner.__name__}.{self.name} is a field: each request has its own value, and super() finds none"
            raise AttributeError(text, name=self.name, obj=context)
        if self.made_by is not None:
            return self.made_by  # as @dataclass wants it
        if not self.has_default:
            raise AttributeError(f"{owner.__name__}.{self.name} has no default")
        return self.default


def declare_fields(cls: Any) -> dict[str, Field]:
    """Put a Field on `cls` for every name that it or a base declares, and return them by name.

    Raises TypeError for a mutable default, a slot, and a field that has a method's name.
    """
    fields: dict[str, Field] = {}
    for base in reversed(cls.__mro__):
        _add_own_fields(base, fields, mixin=not hasattr(base, "_local__defaults"))
    for name, field in fields.items():
        if any(isinstance(vars(base).get(name), Method) for base in cls.__mro__):
            raise TypeError(f"field {name!r} of {cls.__name__} would hide the method of that name: choose another")
        setattr(cls, name, field)
    return fields


def declared_names(cls: Any) -> frozenset[str]:
    """The names of the values that the class declares: its fields, and what per_request, say, makes."""
    found = class_attributes(cls).items()
    made = {name for name, value in found if not name.startswith(("__", "_local__")) and gives_a_value(value)}
    return frozenset(made.union(cls._local__fields))


def defaults_of(cls: Any) -> dict[str, Any] | Defaults:
    """The defaults by name, as each namespace begins with them."""
    fields: list[Field] = list(cls._local__fields.values())
    defaults = {field.name: field.default for field in fields if field.has_default or field.made_by}
    factories = {field.name: field.made_by.default_factory for field in fields if field.made_by}
    if not factories and not cls._local__strict:
        return defaults
    return Defaults(defaults, factories, StrictNamespace if cls._local__strict else Namespace)


def check_not_copied(cls: Any, names: Iterable[str]) -> frozenset[str]:
    """The names of the values that no copy of a request has: `names`, and those of the bases.

    Raises TypeError for one that the class does not declare.
    """
    if isinstance(names, str):
        raise TypeError(f"not_copied of {cls.__name__} has to be several names, in a list: not_copied=[{names!r}]")
    inherited = [base._local__not_copied for base in cls.__mro__ if hasattr(base, "_local__not_copied")]
    own = frozenset(names)
    for name in own - cls._local__declared:
        raise TypeError(f"not_copied of {cls.__name__} names {name!r}, which the class does not declare")
    return own.union(*inherited)


def not_copied_names(cls: Any) -> frozenset[str]:
    """The names that the class, or a base, lists in `not_copied`: their values leave no request."""
    names: frozenset[str] = cls._local__not_copied
    return names


def _add_own_fields(base: type, fields: dict[str, Field], *, mixin: bool) -> None:
    annotations = annotated_names(base)
    own = {name: value for name, value in vars(base).items() if not annotations.get(name)}
    if not mixin:
        _refuse_undeclared(base, annotations, fields)
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
                fields[name] = _field_of(base, name, value)
    for name, is_class_variable in annotations.items():
        if name not in own and not is_class_variable:
            fields[name] = _taken_off(base, name) or fields.get(name) or Field(name)


def _taken_off(base: type, name: str) -> Field | None:
    """The field that @dataclass has taken off the class `base`, as it does with one that has a factory."""
    field: Field | None = vars(base).get("_local__fields", {}).get(name)
    return field if field is not None and field.made_by and "__dataclass_fields__" in vars(base) else None


def _field_of(base: type, name: str, value: Any) -> Field:
    """The field that `value`, perhaps a `dataclasses.field`, makes of an annotated name."""
    if not isinstance(value, dataclasses.Field):
        return Field(name, value)
    others = [option for option in _OPTIONS if getattr(value, option) != getattr(_PLAIN, option)]
    if others:
        raise TypeError(
            f"field({', '.join(others)}) for {base.__name__}.{name} is refused: of what dataclasses.field() takes, a "
            "context knows default and default_factory alone"
        )
    if value.default is not dataclasses.MISSING:
        _refuse_mutable(base, name, value.default)
        return Field(name, value.default)
    return Field(name) if value.default_factory is dataclasses.MISSING else Field(name, made_by=value)


def _refuse_undeclared(base: type, annotations: dict[str, bool], fields: dict[str, Field]) -> None:
    for name, value in vars(base).items():
        declares = name in fields if name not in annotations else not annotations[name]
        if isinstance(value, dataclasses.Field) and not declares:
            raise TypeError(f"field() for {base.__name__}.{name} declares nothing: annotate the name, not as ClassVar")


def _is_descriptor(value: Any) -> bool:
    return hasattr(type(value), "__get__")


def _refuse_slot(base: type, name: str, value: Any) -> None:
    if isinstance(value, MemberDescriptorType) and not name.startswith("_local__"):
        raise TypeError(f"slot {name!r} of {base.__name__} would be shared by all requests: annotate it as a field")


def _refuse_mutable(base: type, name: str, value: Any) -> None:
    if type(value).__hash__ is None:
        raise TypeError(
            f"mutable default {type(value).__name__} for {base.__name__}.{name} would be shared by all requests: "
            "make it with a @per_request method or dataclasses.field(default_factory=...), or annotate it as ClassVar "
            "if it is meant to be shared"
        )


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
