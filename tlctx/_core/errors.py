"""Every exception of tlctx. Each message says what happened, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["OutsideRequestError", "RequestEndedError", "explanations"]


class OutsideRequestError(AttributeError, RuntimeError):
    """A context was used where no request, and no `with ctx.scope():`, is running.

    It is an AttributeError too, so that `getattr(ctx, "user", None)` works anywhere, in a log formatter for example.
    """


class RequestEndedError(OutsideRequestError):
    """A context, a scope or something kept from it was used after its request had ended."""


explanations: list[Callable[[Any], str | None]] = []
"""Functions of a context that say why it has no request here, or None; they are asked where one is used."""


def outside_request(use: str, thread: str, context: Any = None) -> OutsideRequestError:
    """The error for `use` of `context`, "reading 'user'" for example, on a thread that serves no request of it."""
    for explain in explanations:
        explanation = explain(context)
        if explanation is not None:
            name = type(context).__name__
            return OutsideRequestError(
                f"{use} on thread {thread!r}, where no request of this {name} is running: {explanation}"
            )
    return OutsideRequestError(
        f"{use} on thread {thread!r}, where no request is running: a context holds values only while "
        "ContextMiddleware serves a request on this very thread, or inside `with ctx.scope(...):`. In a script, a job "
        "or a test, open a scope with that. In a thread or pool that a request started, pass the values as arguments "
        "and open a scope there: a context does not follow into other threads by itself."
    )


def request_ended(use: str, scope: str, thread: str) -> RequestEndedError:
    """The error for `use` of what belonged to `scope`, which the text names, after its end."""
    return RequestEndedError(
        f"{use} on thread {thread!r} after {scope} has ended: its values are gone and what it opened is closed. Take "
        "what is needed later out of the context while the request runs, or open a scope of your own for it: "
        "`with ctx.scope(...):`."
    )


def context_chain(error: BaseException | None) -> list[BaseException]:
    """The error and those it was raised in the handling of, newest first."""
    found: list[BaseException] = []
    while error is not None and not any(error is other for other in found):
        found.append(error)
        error = error.__context__
    return found
