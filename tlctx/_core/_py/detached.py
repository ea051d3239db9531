"""A server's functions, without the request's scope, in plain Python: `_c/detached.h` has the same in C."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tlctx._core._py.attached import detach
from tlctx._core._py.scope import ScopeBase
from tlctx._core.attached import attached_scopes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tlctx._core.scope import Scope

__all__ = ["DetachedCall"]


class DetachedCall:
    """`function`, an async function of one argument or none, which is called and awaited with `scope` detached.

    With `head`, a pair of key and value, the arguments are messages, mappings, that make up an answer. Where a server
    only writes, the function runs with the scope attached: the message with this pair begins the answer, and those with
    a true value of the key `more` are not its last. Where the scope closes early, what begins the answer goes to
    `begin(scope, function, message)` instead. The scope counts the messages whose value of the pair's key is in
    `pieces`, a frozenset.

    Raises TypeError if `scope` is no Scope, or `head` no pair.
    """

    __slots__ = ("_begin", "_function", "_head", "_more", "_pieces", "_scope")

    def __init__(
        self,
        scope: Scope,
        function: Callable[..., Awaitable[Any]],
        head: tuple[Any, Any] | None = None,
        more: Any = None,
        begin: Callable[[Scope, Any, Any], Awaitable[Any]] | None = None,
        pieces: frozenset[Any] = frozenset(),
        /,
    ) -> None:
        if not isinstance(scope, ScopeBase):
            raise TypeError(f"DetachedCall() needs a Scope, not {type(scope).__name__}")
        if head is not None and not (type(head) is tuple and len(head) == 2 and type(pieces) is frozenset):
            raise TypeError("the head of an answer is a pair of key and value, its pieces a frozenset")
        self._scope = scope
        self._function = function
        self._head = head
        self._more = more
        self._begin = begin
        self._pieces = pieces

    def __call__(self, *message: Any) -> Awaitable[Any]:
        if len(message) > 1:
            raise TypeError("a DetachedCall takes one positional argument, or none")
        if self._head is not None and message:
            key, first = self._head
            kind = message[0].get(key)
            begins = kind == first
            self._scope.chunks += kind in self._pieces
            if begins and self._begin is not None and self._scope.closes_early:
                return self._begin(self._scope, self._function, *message)
            if begins or message[0].get(self._more):
                return self._function(*message)
        return self._run(*message)

    async def _run(self, *message: Any) -> Any:
        before = detach(self._scope)
        try:
            return await self._function(*message)
        finally:
            attached_scopes.set(before)
