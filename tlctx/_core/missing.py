"""The errors about a name of a context: that it has no value here and now, and that the class does not declare it."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from tlctx._core.methods import NOTHING, check_assignable, class_attribute, class_attributes, gives_a_value, is_method

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tlctx._core.fields import Field
    from tlctx._core.namespace import Namespace

__all__ = ["check_field", "missing_attribute", "undeclared_name"]

_VERY_CLOSE = 0.85
"""How alike a method's name has to be to be mentioned at all: what is missing is most often a value."""


def missing_attribute(cls: Any, name: str, namespace: Namespace) -> AttributeError:
    """The error for reading `name`, which a context of class `cls` has not found in `namespace`.

    It says why, and which name may be meant.
    """
    refusal = namespace.refusal(f"reading {name!r}")
    if refusal is not None:
        return refusal
    where, found = f"{cls.__name__}.{name}", class_attribute(cls, name)
    if name in cls._local__fields:
        text = f"{where} is declared, but has no value in {namespace.scope} {_why_unset(cls._local__fields[name])}"
    elif found is not NOTHING and not hasattr(type(found), "__set__"):  # it can be read, so it was to be deleted
        text = f"{where} has no value in {namespace.scope} that could be deleted"
    else:
        text = f"{cls.__name__} has no {name!r} in {namespace.scope}: {_hint(cls, name, namespace)}"
    # With a name and no object, the interpreter does not add a suggestion of its own.
    return AttributeError(text, name=name)


def _why_unset(field: Field) -> str:
    if field.has_default or field.made_by:
        return "any more: it was deleted. Assign it before it is read"
    return "yet: assign it before it is read, or give it a default in the class"


def _hint(cls: type, name: str, namespace: Namespace) -> str:
    public = {known: value for known, value in class_attributes(cls).items() if not known.startswith("_")}
    public.pop(name, None)
    methods = [known for known, value in public.items() if is_method(value)]
    values = {known for known in namespace if isinstance(known, str)}  # vars(ctx) takes any key
    if close := _closest(name, values.union(public).difference(methods)):
        return f"did you mean {close!r}?"
    hint = "assign it before it is read"
    if not cls.__module__.startswith("tlctx._core."):
        hint += ", or declare it in the class"
    method = _closest(name, methods, _VERY_CLOSE)
    return f"{hint}. The method {method}() has a similar name" if method else hint


def undeclared_name(cls: Any, name: object) -> AttributeError | None:
    """The error for writing `name` in a request, for a class that takes the names alone that it declares."""
    found = class_attribute(cls, name)
    if name in cls._local__declared or (found is not NOTHING and gives_a_value(found)):  # put there later
        return None
    if found is not NOTHING:
        text = f"{cls.__name__}.{name} is no field, so it can't be assigned in a request: annotate it in the class"
    else:
        close = _closest(str(name), cls._local__declared)
        hint = f"did you mean {close!r}?" if close else "declare it in the class"
        text = f"{cls.__name__} is strict and declares no {name!r}: {hint}"
    return AttributeError(text, name=str(name))


def check_field(context: Any, name: str) -> None:
    """Raise AttributeError if `name` can't be assigned in a request of `context`: who will assign it learns it before.

    What its class declares can be, and any other name unless it is a method's or the class is strict.
    """
    cls = type(context)
    check_assignable(context, name)
    error = undeclared_name(cls, name) if cls._local__strict else None
    if error is not None:
        raise error


def _closest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    return next(iter(difflib.get_close_matches(name, known, 1, cutoff)), None)
