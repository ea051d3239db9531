"""Commands about contexts and their scopes."""

from __future__ import annotations

import threading
from typing import Any

from differential.application import FAULTS, Manager
from differential.scenario import Scenario

from tlctx import Scope
from tlctx.lowlevel import propagate


class ScopeScenario(Scenario):
    """A scenario of contexts and scopes."""

    # A context

    def do_write(self, context: int, name: str, value: Any) -> None:
        setattr(self.contexts[context], name, self.value(value))

    def do_read(self, context: int, name: str) -> Any:
        return getattr(self.contexts[context], name)

    def do_delete(self, context: int, name: str) -> None:
        delattr(self.contexts[context], name)

    def do_get(self, context: int, name: str) -> Any:
        return self.contexts[context].get(name, "the default"), name in self.contexts[context]

    def do_list(self, context: int) -> Any:
        return repr(self.contexts[context]), Scope.current(self.contexts[context]), list(self.contexts[context])

    def do_keep(self, context: int) -> None:
        self.kept.append(vars(self.contexts[context]))

    def do_use_kept(self, number: int, name: str) -> Any:
        kept = self.kept[number % len(self.kept)]
        return repr(kept), len(kept), kept.get(name), kept.__setitem__(name, "into what was kept")

    def do_fail_in_init(self, failure: str | None) -> None:
        self.failure = failure

    def do_raise(self, kind: str) -> None:
        raise FAULTS[kind]("raised")

    # Scopes

    def do_make(self, context: int, values: dict[str, Any], path: str | None, use: str) -> Any:
        environ = None if path is None else {"REQUEST_METHOD": "GET", "PATH_INFO": path}
        self.scopes.append(
            Scope(self.contexts[context], environ, "" if path is None else ("REQUEST_METHOD", "PATH_INFO"), values)
        )
        return self.perform([use, -1]) if use else self.scopes[-1]

    def scope(self, number: int) -> Scope:
        return self.scopes[number % len(self.scopes)]  # type: ignore[no-any-return]

    def do_describe(self, number: int) -> Any:
        scope = self.scope(number)
        return (
            scope,
            scope.namespace,
            scope.thread == threading.get_ident(),
            sorted(scope.source or ()),
            scope.label,
            scope.context,
        )

    def do_bind(self, number: int) -> Any:
        scope = self.scope(number)
        self.displaced.append((scope, scope.bind()))
        return self.displaced[-1]

    def do_unbind(self, number: int) -> Any:
        scope, displaced = self.displaced.pop(number % len(self.displaced))
        return scope.unbind(displaced)

    def do_enter(self, number: int) -> Any:
        return self.scope(number).__enter__()

    def do_exit(self, number: int, fault: str | None) -> Any:
        error = None if fault is None else FAULTS[fault]("given to __exit__")
        return self.scope(number).__exit__(None if error is None else type(error), error, None)

    def do_close(self, number: int, fault: str | None) -> Any:
        return self.scope(number).close(None if fault is None else FAULTS[fault]("given to close()"))

    def do_fail(self, number: int, fault: str) -> Any:
        return self.scope(number).fail(FAULTS[fault]("given to fail()"))

    def do_forget_scope(self, number: int) -> None:
        del self.scopes[number % len(self.scopes)]

    def do_propagated(self, number: int, commands: list[Any]) -> None:
        with propagate(self.scope(number)):
            self.run(commands)

    def do_block(self, context: int, values: dict[str, Any], commands: list[Any]) -> None:
        with self.contexts[context].scope(**values):
            self.run(commands)

    def do_callback(self, context: int, commands: list[Any]) -> None:
        self.contexts[context].callback(self.run, commands)

    def do_callback_of(self, number: int, commands: list[Any]) -> None:
        self.scope(number).callback(self.run, commands)

    def do_manage(self, context: int, end: str) -> Any:
        return self.contexts[context].enter_context(Manager(self, end))
