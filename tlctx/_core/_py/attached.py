"""How a scope is attached, and what a context reads from, in plain Python: `_c/attached.h` has the same in C."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tlctx._core._py.local import peek_dict
from tlctx._core._py.scope import ScopeBase
from tlctx._core.attached import attached_namespace, attached_scopes, start_threads_without_scopes
from tlctx._core.flows import outermost_coroutine

if TYPE_CHECKING:
    from tlctx._core.attached import Attached
    from tlctx._core.context import RequestContext
    from tlctx._core.namespace import Namespace
    from tlctx._core.scope import Scope

__all__ = ["attach", "detach", "namespace_of"]


def attach(scope: Scope) -> None:
    """Have what is started from here on see `scope`, until `detach`.

    Raises TypeError for what is no Scope.
    """
    if not isinstance(scope, ScopeBase):
        raise TypeError(f"attach() needs a Scope, not {type(scope).__name__}")
    start_threads_without_scopes()
    attached_scopes.set(((scope, outermost_coroutine()), *_open_but(scope)))


def detach(scope: Scope) -> tuple[Attached, ...]:
    """Undo `attach`, in any order. A task that began in between keeps the scope, and is refused once it has ended.

    Returns what was attached before.
    """
    before = attached_scopes.get()
    attached_scopes.set(_open_but(scope))
    return before


def _open_but(scope: Scope) -> tuple[Attached, ...]:
    # An event loop may close an async generator in another task, where `detach` does not reach what was attached here.
    return tuple([each for each in attached_scopes.get() if each[0] is not scope and not each[0].ended])


def namespace_of(context: RequestContext) -> Namespace:
    """What `context` reads from here and now: a scope's namespace, or one that refuses any use."""
    bound: Namespace | None = peek_dict(context)
    return attached_namespace(context) if bound is None else bound
