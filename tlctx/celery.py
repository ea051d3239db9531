"""Celery: chosen values of a request travel with the tasks that it sends, and each task runs in a scope of its own.

Theory of operation
===================

    sending      Every way to send a task ends in `app.send_task`, and every way to run one at once in `task.apply`.
                 Both are wrapped, and put the values into a header of the task. Celery's signal for this,
                 `before_task_publish`, can't refuse a value: what a receiver raises is logged, and the task is sent.
    running      `task.run` is wrapped: the scope is open while it runs. Celery stores the result, and sends the
                 callbacks, after that. Its signal `task_postrun` comes later still, and logs what a receiver raises.
                 Of a task with `autoretry_for` it is the inner function: a teardown that fails is retried too.
    registering  A task is prepared as it is put into the application's registry, which all ways to make one do.

When a task has run, Celery sends its callbacks, the next task of its chain and the body of its chord, on the same
thread. Its scope has ended by then, so these get what came with the task itself. So does an error callback that Celery
calls right there.
"""

from __future__ import annotations

import functools
import inspect
import json
import math
from typing import TYPE_CHECKING, Any

from celery import Celery
from celery.exceptions import Ignore

from tlctx import RequestContext, Scope, per_request
from tlctx.lowlevel import assigned_values, check_context, declared_names, not_copied_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["install"]

_JSON = "str, int, float, bool, None, list, and dict with keys of type str"


def install(app: Celery, ctx: RequestContext, fields: Iterable[str], name: str = "ctx") -> None:
    """Give each task of a Celery application a scope of `ctx`, with the values of `fields` of whoever sent it.

    The values that the sender's request has assigned to `fields` travel in the task's header "tlctx.ctx", as JSON; no
    others do. Sending a task is a TypeError where one of them is of a type that JSON lacks. In the worker they are
    assigned as the scope begins. A task that is sent where no request runs begins with the defaults.

    The scope ends before Celery stores the task's result and sends its callbacks. What its teardown raises fails the
    task. A `Retry` and a `Reject` are failures to the teardown, an `Ignore` is none.

    A second context on the same application needs a `name` of its own. The senders and the workers have to agree on it.

    Raises TypeError if an argument is of the wrong type, or one of `fields` is a method or a per_request, ValueError if
    the class of `ctx` lists one in `not_copied`, or declares fields, but not this one, RuntimeError if the application
    has this `ctx`, or this `name`, already.
    """
    if not isinstance(app, Celery):
        raise TypeError(f"the application comes first, a Celery, not {type(app).__name__}")
    check_context(ctx)
    installed: list[_Installation] = vars(app).setdefault("_tlctx", [])  # the core's error looks there
    if any(other.ctx is ctx for other in installed):
        raise RuntimeError(f"{app!r} has this context already")
    if any(other.name == name for other in installed):
        raise RuntimeError(f"{app!r} has a context named {name!r} already: give this one another name")
    installation = _Installation(app, ctx, _checked(fields, ctx), name)
    installed.append(installation)
    # The signal that is sent before a message can't refuse it.
    app.send_task = installation.wrap_send_task(app.send_task)
    registry = _watched(app)
    registry._tlctx.append(installation)
    for task in registry.values():
        installation.prepare(task)


class _Installation:
    """One context on one application."""

    def __init__(self, app: Celery, ctx: RequestContext, fields: tuple[str, ...], name: str) -> None:
        self.app = app
        self.ctx = ctx
        self.fields = fields
        self.name = name
        self.header = f"tlctx.{name}"

    def prepare(self, task: Any) -> None:
        """Have a task run in scopes, and take values along where it is run at once."""
        name = "_orig_run" if "_orig_run" in vars(task) else "run"  # the former where it has `autoretry_for`
        setattr(task, name, self._wrap_run(task, vars(task).get(name)))
        task.apply = self._wrap_apply(task, task.apply)

    def wrap_send_task(self, send_task: Callable[..., Any]) -> Callable[..., Any]:
        """The same, with the values in the task's header."""

        @functools.wraps(send_task)
        def send_with_values(name: str, *args: Any, **options: Any) -> Any:
            self._add_header(options, name)
            return send_task(name, *args, **options)

        return send_with_values

    def _wrap_apply(self, task: Any, apply: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(apply)
        def apply_with_values(*args: Any, **options: Any) -> Any:
            self._add_header(options, task.name)
            return apply(*args, **options)

        return apply_with_values

    def _add_header(self, options: dict[str, Any], task: str) -> None:
        headers = options.get("headers") or {}
        if self.header in headers:
            return
        text = self._text_of_first_try(options) if options.get("retries") else self._text_to_send(task)
        if text is not None:
            options["headers"] = {**headers, self.header: text}

    def _text_of_first_try(self, options: dict[str, Any]) -> str | None:
        """What a retry has to send again: Celery drops it where there is a header named "headers", as Sentry's is."""
        request = self._running_request()
        return self._text_in(request) if request is not None and request.id == options.get("task_id") else None

    def _text_to_send(self, task: str) -> str | None:
        """What goes into the header of a task that is sent here: None if there is nothing to send."""
        scope, request = Scope.current(self.ctx), self._running_request()
        if request is not None and not self._is_inside(scope, request) and (scope is None or self._begun(request)):
            return self._text_in(request)
        return None if scope is None else self._text_of(scope, task)

    def _text_of(self, scope: Scope, task: str) -> str:
        assigned = assigned_values(scope)
        try:
            values = {name: assigned[name] for name in self.fields if name in assigned}
            refusals = [(name, refusal) for name in values if (refusal := _refusal(values[name]))]
            if not refusals:
                return json.dumps(values, separators=(",", ":"))
        finally:
            assigned = values = {}  # so that no traceback shows the values
        name, refusal = refusals[0]
        raise TypeError(
            f"{type(self.ctx).__name__}.{name} can't travel with the task {task}: it is, or contains, {refusal}. Only "
            f"{_JSON} can. Send what identifies it, and look it up in the task"
        )

    def _wrap_run(self, task: Any, own: Callable[..., Any] | None) -> Callable[..., Any]:
        cls = task.__class__  # of a proxy too

        def find() -> Callable[..., Any]:
            # The setting `task_annotations` may replace it on the class later.
            return own or inspect.getattr_static(cls, "run").__get__(task, cls)

        @functools.wraps(find())
        def run_in_scope(*args: Any, **kwargs: Any) -> Any:
            run, request = find(), self._request_to_begin(task)
            if request is None:  # it is called as a function, and belongs to its caller
                return run(*args, **kwargs)
            ignored: Ignore | None = None
            with self._begin(task, request):
                try:
                    return run(*args, **kwargs)
                except Ignore as error:
                    ignored = error
            try:
                raise ignored
            finally:
                del ignored  # the traceback has this frame, so it would be a cycle

        return run_in_scope

    def _request_to_begin(self, task: Any) -> Any:
        """The request that a scope has to be opened for, as `task` is called; None for a call as that of a function."""
        stack = () if task.request_stack is None else task.request_stack.stack  # it is None before the task is bound
        traced = next((request for request in reversed(stack) if not request.called_directly), None)
        if traced is not None and self._begun(traced) is None:
            return traced
        request = self._running_request()
        if request is None or self._begun(request) is None or self._is_inside(Scope.current(self.ctx), request):
            return None
        return request  # Celery calls an error callback, after the scope's end

    def _begin(self, task: Any, request: Any) -> Scope:
        values = self._values_in(self._text_in(request))
        if values is None:
            raise ValueError(f"the header {self.header} of the task {task.name} is not what tlctx.celery sends")
        try:
            scope = Scope(self.ctx, request, f"task {task.name}[{request.id}]", values)
        finally:
            del values  # so that no traceback shows them
        vars(request).setdefault("_tlctx_begun", {})[self.header] = scope.serial
        return scope

    def _text_in(self, request: Any) -> str | None:
        """What came in the header of a task: a worker's request has it itself, that of `apply` among its headers."""
        text: str | None = vars(request).get(self.header) or (request.headers or {}).get(self.header)
        return text

    def _values_in(self, text: object) -> dict[str, Any] | None:
        """The values in a header, of the fields that this application allows; None if it is not as it has to be."""
        if text is None:
            return {}
        try:
            values = json.loads(text) if isinstance(text, str) else None
        except (ValueError, RecursionError):
            return None
        return {name: values[name] for name in self.fields if name in values} if isinstance(values, dict) else None

    def _running_request(self) -> Any:
        """The request of the task that Celery runs on this thread, or has run: its callbacks are sent now."""
        task = self.app.current_worker_task
        return None if task is None else task.request

    def _begun(self, request: Any) -> int | None:
        """The serial of the scope that was last opened for a request; None if none was."""
        serial: int | None = vars(request).get("_tlctx_begun", {}).get(self.header)
        return serial

    def _is_inside(self, scope: Scope | None, request: Any) -> bool:
        """Whether `scope`, which is current, is the request's or was opened in it: not by who runs the task at once."""
        begun = self._begun(request)
        return scope is not None and begun is not None and scope.serial >= begun


class _Watched:
    """A registry that prepares the tasks that are put into it."""

    _tlctx: list[_Installation]

    def __setitem__(self, name: str, task: Any) -> None:
        super().__setitem__(name, task)  # type: ignore[misc]
        for installation in self._tlctx:
            installation.prepare(task)


def _watched(app: Celery) -> Any:
    """The registry of an application, made one that is watched."""
    registry: Any = app._tasks  # `app.tasks` would finalize the application, before it is configured perhaps
    if not isinstance(registry, _Watched):
        cls = type(registry)
        registry._tlctx = []
        # No signal tells of a task that is made after the application was finalized.
        registry.__class__ = type(cls.__name__, (_Watched, cls), {"__module__": cls.__module__})
    return registry


def _checked(fields: Iterable[str], ctx: RequestContext) -> tuple[str, ...]:
    names = () if isinstance(fields, str) else tuple(fields)
    if isinstance(fields, str) or not all(isinstance(name, str) for name in names):
        raise TypeError("fields must be names: install(app, ctx, fields=['user_id'])")
    cls = type(ctx)
    declared, not_copied = declared_names(cls), not_copied_names(cls)
    for name in names:
        found = inspect.getattr_static(cls, name, None)
        if isinstance(found, per_request):
            raise TypeError(f"{cls.__name__}.{name} can't travel: what per_request makes is made anew in each task")
        if hasattr(type(found), "__set__"):
            raise TypeError(f"{cls.__name__}.{name} can't travel: it is not a field")
        if name in not_copied:
            raise ValueError(f"{cls.__name__}.{name} can't travel: the class lists it in not_copied")
        if declared and name not in declared:
            raise ValueError(f"{cls.__name__} does not declare {name!r}: declare what travels with tasks")
    return names


def _refusal(value: Any) -> str | None:
    """What in `value` JSON has no type or no text for, in words; None if it can travel."""
    pending, seen = [value], set()
    while pending:
        one = pending.pop()
        kind = type(one)
        if kind is float and not math.isfinite(one):
            return "a float that is not finite"
        if kind not in (dict, list, str, int, float, bool, type(None)):
            return f"an object of type {kind.__name__}"
        if kind not in (dict, list) or id(one) in seen:
            continue
        seen.add(id(one))
        if kind is dict and any(type(key) is not str for key in one):
            return "a dict with a key that is no str"
        pending += one.values() if kind is dict else one
    try:
        json.dumps(value)
    except (ValueError, RecursionError):
        return "something without end: itself, too many levels, or an int of thousands of digits"
    return None
