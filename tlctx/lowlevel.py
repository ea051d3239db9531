"""What integrations stand on: scopes that are made, bound and closed by hand, and observers of all of them.

A framework's integration makes a `Scope` for each request, binds it around each piece of the request's code, and closes
it once:

    scope = Scope(ctx, source=message, label=f"job {message.name}")
    try:
        with bound(scope):
            run(message)
    except BaseException as error:
        scope.close(error)
        raise
    scope.close()

Where there is just one block of code, `with scope:` does all of it, and no exception from outside, a signal handler's,
can come in between. Where one strikes `close()` itself, call it again: it goes on where it stopped.

A framework that hands its answers over as iterables of its own says with `close_early` which of them run no code.
"""

from __future__ import annotations

from tlctx._core.context import check_context
from tlctx._core.copying import ScopeCopy, assigned_values, copy_scope
from tlctx._core.early import close_early
from tlctx._core.errors import explanations
from tlctx._core.fields import declared_names, not_copied_names
from tlctx._core.implementation import DetachedCall, bound
from tlctx._core.missing import check_field
from tlctx._core.observers import Observer, add_observer, remove_observer
from tlctx._core.propagation import copy_variables, propagate, put_back, take_off
from tlctx._core.reports import Count, close_after, close_reporting, report_failed_teardown
from tlctx._core.scope import Scope, open_scopes
from tlctx._core.stacks import is_running, stack_of

__all__ = [
    "Count",
    "DetachedCall",
    "Observer",
    "Scope",
    "ScopeCopy",
    "add_observer",
    "assigned_values",
    "bound",
    "check_context",
    "check_field",
    "close_after",
    "close_early",
    "close_reporting",
    "copy_scope",
    "copy_variables",
    "declared_names",
    "explanations",
    "is_running",
    "not_copied_names",
    "open_scopes",
    "propagate",
    "put_back",
    "remove_observer",
    "report_failed_teardown",
    "stack_of",
    "take_off",
]
