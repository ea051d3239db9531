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


def outside_request(use: str, thread: str, context: Any, advise: Callable[[], str]) -> OutsideRequestError:
    """The error for `use` of `context`, "reading 'user'" for example, on a thread that serves no request of it.

    Where no function in `explanations` knows why, the text ends with what `advise()` returns.
    """
    for explain in explanations:
        explanation = explain(context)
        if explanation is not None:
            name = type(context).__name__
            return OutsideRequestError(
                f"{use} on thread {thread!r}, where no request of this {name} is running: {explanation}"
            )
    return OutsideRequestError(f"{use} on thread {thread!r}, where no request is running: {advise()}")


def request_ended(use: str, scope: str, thread: str) -> RequestEndedError:
    """The error for `use` of what belonged to `scope`, which the text names, after its end."""
    return RequestEndedError(
        f"{use} on thread {thread!r} after {scope} has ended: its values are gone and what it opened is closed. Work "
        "that goes on after its request takes a copy of the values along, by `tlctx.threads.wrap(function, ctx)`, or "
        "opens a scope of its own: `with ctx.scope(...):`."
    )


def context_chain(error: BaseException | None) -> list[BaseException]:
    """The error and those it was raised in the handling of, newest first."""
    found: list[BaseException] = []
    while error is not None and not any(error is other for other in found):
        found.append(error)
        error = error.__context__
    return found
