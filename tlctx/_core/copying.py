"""What a copy of a request begins with: the values that its code has assigned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tlctx._core.scope import Scope

__all__ = ["assigned_values"]


def assigned_values(scope: Scope) -> dict[str, Any]:
    """The values of `scope` by name, without those that `per_request` methods have made: a copy makes its own.

    The copy is shallow. Raises RequestEndedError after the scope's end.
    """
    scope._check_open("copying values")
    made = scope._made
    return {name: value for name, value in dict(scope.namespace).items() if made.get(name, made) is not value}
