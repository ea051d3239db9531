"""The names of a request's values, and the texts of those that may be shown."""

from __future__ import annotations

import reprlib
from typing import TYPE_CHECKING, Any

from tlctx.inspector._texts import shown

if TYPE_CHECKING:
    from collections.abc import Collection

    from tlctx.lowlevel import Scope

__all__ = ["names_and_values"]

_NAMES, _NAME, _VALUE = 50, 80, 200
_absent = object()


def names_and_values(scope: Scope, show: Collection[str]) -> tuple[list[str], dict[str, str]]:
    """The names that have a value, and the texts of the values whose names are in `show`. Nothing is made for it."""
    namespace: Any = scope.namespace
    try:
        names = [name for name in dict.copy(namespace) if type(name) is str]
    except RuntimeError:  # another thread has just changed it
        names = []
    found = {name: dict.get(namespace, name, _absent) for name in names if name in show}
    texts = {shown(name, _NAME): _text(value) for name, value in found.items() if value is not _absent}
    return [shown(name, _NAME) for name in sorted(names)[:_NAMES]], texts


def _text(value: Any) -> str:
    """The repr, cut; its type alone where that fails."""
    try:
        return shown(_short.repr(value), _VALUE)
    except (Exception, SystemExit):  # noqa: BLE001  # the value's own code
        return f"<{shown(type(value).__name__, _NAME)}: its repr fails>"


_short = reprlib.Repr()
_short.maxstring = _short.maxother = _short.maxlong = _VALUE
